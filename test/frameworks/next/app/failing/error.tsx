"use client";

export default function Failed() {
  return <p>the boundary</p>;
}
