declare module "sojourn" {
  interface SessionData {
    user?: { id: string };
  }
}

export {};
