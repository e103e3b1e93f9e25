export declare function exampleNames(): string[];
export declare function folderOf(name: string): string;
export declare function nodeFor(name: string, env?: NodeJS.ProcessEnv): string | undefined;
export declare function environmentFor(node: string, env?: NodeJS.ProcessEnv): NodeJS.ProcessEnv;
export declare function installExample(name: string): void;
export declare function installPackages(folder: string): void;
export declare function runScript(
  name: string,
  script: string,
  node: string,
  options?: { cwd?: string; env?: NodeJS.ProcessEnv },
): void;
