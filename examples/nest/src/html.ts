const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Makes a page. Values are escaped. */
export function html(parts: TemplateStringsArray, ...values: string[]): string {
  const escaped = values.map((value) => value.replaceAll(/[&<>"]/g, (character) => ENTITIES[character]!));
  return `<!doctype html><title>Sojourn and NestJS</title>${String.raw({ raw: parts }, ...escaped)}`;
}
