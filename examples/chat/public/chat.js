const state = document.querySelector("#state");
const messages = document.querySelector("#messages");
const form = document.querySelector("#chat");
const socket = io();

socket.on("connect", () => (state.textContent = "You are in the chat."));

socket.on("said", ({ from, text }) => {
  const line = document.createElement("li");
  line.textContent = `${from}: ${text}`;
  messages.append(line);
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  socket.emit("say", form.elements.text.value);
  form.reset();
});

/** The session has ended: in another tab, on the server, or by its timeout. */
function end() {
  state.innerHTML = 'You have been logged out. <a href="/login">Log in</a>';
  form.hidden = true;
}

socket.on("sessionEnded", end);

socket.on("disconnect", () => {
  // socket.io connects again by itself, unless the server has ended the session.
  if (socket.active) state.textContent = "The connection is lost. Connecting again …";
});

socket.on("connect_error", (error) => {
  if (error.data?.code === "ERR_SESSION_SIGN_IN") return end();
  state.textContent = "The chat can't be reached. Connecting again …";
  // After a refusal, it does not connect again by itself.
  if (!socket.active) setTimeout(() => socket.connect(), 5000);
});
