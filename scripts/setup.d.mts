export declare const ROOT: string;
export declare class SetupError extends Error {}
export declare function checkNode(version?: string): void;
export declare function isInstalled(root?: string): boolean;
export declare function ensureBuilt(root?: string): void;
export declare function isBuilt(root?: string): boolean;
export declare function npm(...args: string[]): string[];
