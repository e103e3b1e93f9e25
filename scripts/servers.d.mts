export interface Server {
  name: string;
  commands: string[];
  aptPackages: string[];
  env: string;
}
export declare const SERVERS: Server[];
type Environment = Record<string, string | undefined>;
export declare function provideServers(
  servers?: Server[],
  options?: { env?: Environment; install?: (server: Server) => boolean },
): Server[];
export declare function variables(): string[];
export declare function serversOf(...envs: string[]): Server[];
