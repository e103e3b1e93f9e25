import { type ReactNode, Suspense } from "react";

export default function ParallelLayout({ children, side }: { children: ReactNode; side: ReactNode }) {
  return (
    <Suspense>
      {children}
      {side}
    </Suspense>
  );
}
