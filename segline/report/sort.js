// A click on a heading sorts its table by that column; another click turns the order round.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const rising = heading.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const numeric = heading.classList.contains("number");
      const key = (row) => {
        const cell = row.cells[column];
        return numeric ? parseFloat(cell.dataset.sort) : cell.textContent;
      };
      const order = (a, b) => (numeric ? a - b : a.localeCompare(b, undefined, { numeric: true }));
      const rows = [...body.rows].map((row) => [key(row), row]);
      // a figure that is undefined stays last in both orders
      rows.sort(([a], [b]) => Number.isNaN(a) - Number.isNaN(b) || (rising ? order(a, b) : order(b, a)));
      body.append(...rows.map(([, row]) => row));
    });
  });
}
