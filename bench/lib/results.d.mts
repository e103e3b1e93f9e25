export type Results = ReadonlyMap<string, readonly Record<string, unknown>[]>;
export declare function readResults(folder?: string): Results;
