import * as fc from "fast-check";

interface Edit {
  readonly kind: "replace" | "insert" | "remove" | "cut" | "repeat" | "swap" | "splice";
  /** Where, as a share of the text in 65536ths: an edit shrinks and keeps its place while the text changes. */
  readonly at: number;
  readonly length: number;
  readonly text: string;
}

const SHARES = 65_536;

/**
 * Valid samples, and what becomes of them by a few edits: pieces replaced, inserted, removed, repeated, swapped, cut off, or
 * spliced with another sample.
 *
 * @param pieces - what is inserted, beside single characters.
 */
export function mutated(
  samples: fc.Arbitrary<string>,
  pieces: readonly string[],
  characters: fc.Arbitrary<string> = anyText(),
): fc.Arbitrary<string> {
  const edit: fc.Arbitrary<Edit> = fc.record({
    kind: fc.constantFrom("replace", "insert", "remove", "cut", "repeat", "swap", "splice"),
    at: fc.nat(SHARES - 1),
    length: fc.oneof({ weight: 3, arbitrary: fc.nat(2) }, fc.nat(100)),
    text: pieces.length > 0 ? fc.oneof(fc.constantFrom(...pieces), characters) : characters,
  });
  return fc
    .tuple(samples, samples, fc.array(edit, { maxLength: 4 }))
    .map(([sample, other, edits]) => edits.reduce((text, step) => edited(text, other, step), sample));
}

function edited(text: string, other: string, { kind, at: share, length, text: piece }: Edit): string {
  const at = Math.floor((share / SHARES) * (text.length + 1));
  const [head, middle, tail] = [text.slice(0, at), text.slice(at, at + length), text.slice(at + length)];
  switch (kind) {
    case "replace":
      return head + piece + text.slice(at + piece.length);
    case "insert":
      return head + piece + text.slice(at);
    case "remove":
      return head + tail;
    case "cut":
      return head;
    case "repeat":
      return head + middle + middle + tail;
    case "swap":
      return head + tail.slice(0, length) + middle + tail.slice(length);
    case "splice":
      return head + other.slice(at);
  }
}

/** Short text of any characters: ASCII, controls, blanks of Unicode, halves of surrogate pairs. */
export function anyText(maxLength = 4): fc.Arbitrary<string> {
  const unit = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0x20, max: 0x7e }) },
    fc.integer({ min: 0, max: 0xff }),
    fc.constantFrom(0x00, 0x09, 0x0a, 0x0d, 0x7f, 0xa0, 0x2028, 0x3000, 0xd800, 0xdfff, 0xfeff, 0xff1b, 0xfffd),
    fc.integer({ min: 0, max: 0xffff }),
  );
  return fc.array(unit, { maxLength }).map((units) => String.fromCharCode(...units));
}

/** Short runs of bytes, as text of one character for each. */
export function anyBytes(maxLength = 4): fc.Arbitrary<string> {
  const byte = fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.integer({ min: 0, max: 0xff }));
  return fc.array(byte, { maxLength }).map((bytes) => String.fromCharCode(...bytes));
}

export const bytesOf = (text: string): Buffer => Buffer.from(text, "latin1");
export const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

/** Names that an object has without having been given them. */
export const INHERITED = ["__proto__", "constructor", "prototype", "toString", "valueOf", "hasOwnProperty", "toJSON"];

/** The text without halves of surrogate pairs. */
export const wellFormed = (text: string): string => Buffer.from(text).toString();
