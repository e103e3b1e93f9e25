import type { Results } from "../lib/results.mjs";
export declare const DOCUMENTS: Readonly<Record<string, string>>;
export declare function fillBlocks(text: string, results: Results, pictures: string): string;
