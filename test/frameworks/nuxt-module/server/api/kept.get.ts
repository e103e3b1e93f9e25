// A mistake: everybody would get the name of the first user.
export default defineCachedEventHandler(({ context }) => context.session.userId ?? "nobody", { maxAge: 60 });
