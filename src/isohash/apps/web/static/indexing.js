// How the run goes, asked every second while it runs; the page is loaded anew at its end.

const told = document.getElementById("told");

async function look() {
  const facts = await (await fetch("/api/indexing")).json();
  if (!facts.running) return location.reload();
  told.textContent = `${facts.source}: ${facts.told}`;
  setTimeout(look, 1000);
}

if (told.dataset.running === "yes") look();
