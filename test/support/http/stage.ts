/** A place where a request waits until the test lets it go on. */
export interface Gate {
  /** Fulfilled once a request waits here. */
  readonly reached: Promise<void>;
  open(): void;
  /** For the one who waits. */
  pass(): Promise<void>;
}

/** The gates of one server, by name; both sides may come first. */
export interface Stage {
  gate(name: string): Gate;
}

export function createStage(): Stage {
  const gates = new Map<string, Gate>();
  return {
    gate(name) {
      const gate = gates.get(name) ?? createGate();
      gates.set(name, gate);
      return gate;
    },
  };
}

export function createGate(): Gate {
  let arrive!: () => void;
  let open!: () => void;
  const reached = new Promise<void>((resolve) => (arrive = resolve));
  const opened = new Promise<void>((resolve) => (open = resolve));
  return {
    reached,
    open: () => open(),
    async pass() {
      arrive();
      await opened;
    },
  };
}
