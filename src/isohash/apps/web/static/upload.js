// A new patient: its files are sent one by one, read once, compared, and not kept.

import { send } from "./sending.js";

const form = document.getElementById("drop"), told = document.getElementById("progress");

async function uploadAll(files) {
  if (!files.length) return;
  try {
    const { upload } = await send("POST", "/api/uploads");
    for (const [at, file] of files.entries()) {
      told.textContent = `sending ${at + 1} of ${files.length}`;
      await send("PUT", `/api/uploads/${upload}?name=${encodeURIComponent(file.name)}`, file);
    }
    told.textContent = "reading and comparing";
    const { case: name } = await send("POST", `/api/uploads/${upload}`);
    location.assign(`/query?case=${encodeURIComponent(name)}`);
  } catch (error) {
    told.textContent = error.message;
  }
}

// All files of what was dropped, folders opened.
async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((found, failed) => entry.file(found, failed))];
  const reader = entry.createReader(), files = [];
  for (;;) {
    const some = await new Promise((found, failed) => reader.readEntries(found, failed));
    if (!some.length) return files;
    for (const one of some) files.push(...(await filesOf(one)));
  }
}

async function dropped(event) {
  event.preventDefault();
  form.classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  uploadAll((await Promise.all(entries.map(filesOf))).flat());
}

form.addEventListener("dragover", (event) => {
  event.preventDefault();
  form.classList.add("over");
});
form.addEventListener("dragleave", () => form.classList.remove("over"));
form.addEventListener("drop", dropped);
for (const name of ["folder", "zip"]) {
  const input = document.getElementById(name);
  input.addEventListener("change", () => uploadAll([...input.files]));
}
