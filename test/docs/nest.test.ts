import { describe, expect, it } from "vitest";
import { document, filesOf } from "../support/http/blocks.ts";

// test/frameworks/nest.test.ts compiles these files, and runs them.
describe.each(["docs/nest.md", "docs/troubleshooting/nest.md"])("%s", (name) => {
  const page = document(name);
  const files = filesOf(page);

  it("says of each block of TypeScript which file it is, and shows it as it is", () => {
    expect(files.length).toBeGreaterThan(0);
    expect(page.match(/```tsx?\n/g)).toHaveLength(files.length);
    for (const { name: file, code } of files) {
      expect(code).toBe(document(`test/frameworks/nest/src/guide/${file}`));
    }
  });
});
