declare module "sojourn" {
  interface SessionData {
    user?: { id: number; name?: string; roles?: string[] };
    secure?: { token: string };
    visits?: number;
  }
}

export {};
