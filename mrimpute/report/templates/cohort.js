// Pages, sorting and filtering of the cohort's table; all rows are in the page, fifty are shown.
(() => {
  const table = document.getElementById("cohort"), body = table.tBodies[0];
  const perPage = Number(table.dataset.perPage);
  const get = (id) => document.getElementById(id);
  let rows = [...body.rows], page = 0;

  const matching = () => {
    const words = get("filter").value.toLowerCase().split(/\s+/).filter(Boolean), word = get("word").value;
    return rows.filter((row) => {
      const text = [...row.querySelectorAll(".told")].map((cell) => cell.textContent).join(" ").toLowerCase();
      return (!word || row.dataset.word === word) && words.every((one) => text.includes(one));
    });
  };
  const show = () => {
    const found = matching(), pages = Math.max(1, Math.ceil(found.length / perPage));
    page = Math.min(Math.max(page, 0), pages - 1);
    const shown = new Set(found.slice(page * perPage, (page + 1) * perPage));
    rows.forEach((row) => { row.hidden = !shown.has(row); });
    get("page").textContent = `${found.length} of ${rows.length}, page ${page + 1} of ${pages}`;
    [get("back").disabled, get("next").disabled] = [page === 0, page === pages - 1];
  };
  const sort = (column, header) => {
    const falls = header.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th").forEach((one) => one.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", falls ? "descending" : "ascending");
    const text = (row) => row.cells[column].textContent.trim();
    const numbers = rows.every((row) => text(row) === "" || !Number.isNaN(Number(text(row))));
    rows.sort((one, other) => {
      const [a, b] = [text(one), text(other)];
      if (a === "" || b === "") return (a === "") - (b === ""); // what has no figure comes last
      return (falls ? -1 : 1) * (numbers ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true }));
    });
    body.append(...rows);
    page = 0;
    show();
  };
  table.querySelectorAll("th button.sort").forEach((button) => {
    const header = button.parentElement;
    button.addEventListener("click", () => sort(header.cellIndex, header));
  });
  for (const id of ["filter", "word"]) get(id).addEventListener("input", () => { page = 0; show(); });
  get("back").addEventListener("click", () => { page -= 1; show(); });
  get("next").addEventListener("click", () => { page += 1; show(); });
  get("save").addEventListener("click", () => {
    const judged = rows.filter((row) => row.querySelector(".own").value);
    get("told").textContent = judged.length ? `Saved: ${judged.length}` : "Choose a verdict in a row first";
    if (judged.length) {
      own.save(judged.map((row) =>
        own.row(JSON.parse(row.dataset.row), row.querySelector(".own").value, row.querySelector(".comment").value)));
    }
  });
  get("controls").hidden = false;
  show();
  document.body.dataset.ready = "yes";
})();
