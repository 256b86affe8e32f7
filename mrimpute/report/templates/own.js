"use strict";
// One's own verdict: a row of TSV that the browser saves; nothing leaves the page.
const own = (() => {
  const clean = (text) => String(text).replace(/[\t\r\n]+/g, " ").replace(/^([=+\-@])/, "'$1");
  const save = (rows) => {
    const columns = Object.keys(rows[0]);
    const lines = [columns, ...rows.map((row) => columns.map((key) => clean(row[key])))];
    const file = new Blob([lines.map((line) => line.join("\t") + "\n").join("")], { type: "text/tab-separated-values" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = "mrimpute_verdict.tsv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const row = (held, verdict, comment) =>
    ({ ...held, verdict, comment, date: new Date().toISOString().slice(0, 10) });
  return { save, row };
})();
const form = document.getElementById("ownform");
if (form) {
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of form.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      own.save([own.row(JSON.parse(form.dataset.row), button.value, document.getElementById("comment").value)]);
      document.getElementById("told").textContent = `Saved: ${button.value}`;
    });
  }
}
