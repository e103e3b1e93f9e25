export interface Mode {
  skipLibCheck?: boolean;
  readonly type: string;
  readonly module: string;
  readonly moduleResolution?: string;
}
export declare const MODES: Readonly<Record<"esm" | "commonjs" | "node16" | "bundler", Mode>>;
export declare const PROGRAMS: Readonly<
  Record<
    | "declared"
    | "withoutNode"
    | "perInstance"
    | "expressSession"
    | "dropIn"
    | "dropInWithFactories"
    | "dropInWithKeptTypes",
    readonly string[]
  >
>;
export declare function compile(
  folder: string,
  name: string,
  files: readonly string[],
  mode: Mode,
  compiler?: string,
): Promise<string>;
