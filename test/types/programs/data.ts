// The one declaration of a program.
export interface Cart {
  items: string[];
}

declare module "sojourn" {
  interface SessionData {
    username?: string;
    visits?: number;
    cart?: Cart;
  }
}
