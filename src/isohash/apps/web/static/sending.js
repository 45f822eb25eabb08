// Changes carry the token of the page that asks for them.

const csrf = document.querySelector("meta[name=csrf]").content;

// Sends and gives the answer's JSON; an Error with its words where it is refused.
export async function send(method, address, body) {
  const answer = await fetch(address, { method, body, headers: { "X-CSRF-Token": csrf } });
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  throw new Error(told(text));
}

function told(text) {
  try {
    const facts = JSON.parse(text);
    return facts.next ? `${facts.error}; ${facts.next}` : facts.error;
  } catch {
    return text;
  }
}
