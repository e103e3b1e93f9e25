/** An array of any length. Reading an index that was never written gives undefined. */
export interface PagedArray<T> {
  get(index: number): T | undefined;
  set(index: number, value: T): void;
  clear(): void;
}

type Page<T> = Record<number, T>;

const PAGE_BITS = 10;
const PAGE_SIZE = 2 ** PAGE_BITS;
const IN_PAGE = PAGE_SIZE - 1;

/**
 * Creates an array that grows by a page. One that is copied whenever it is full has up to a half more memory than it needs,
 * and each copy of a long one stops the process.
 *
 * @param newPage - creates a page of so many values.
 */
export function pagedArray<T>(newPage: (size: number) => Page<T>): PagedArray<T> {
  let pages: Page<T>[] = [];
  return {
    get: (index) => pages[index >>> PAGE_BITS]?.[index & IN_PAGE],
    set(index, value) {
      (pages[index >>> PAGE_BITS] ??= newPage(PAGE_SIZE))[index & IN_PAGE] = value;
    },
    clear() {
      pages = [];
    },
  };
}
