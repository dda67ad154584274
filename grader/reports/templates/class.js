"use strict";
// Sorting by a click on a column's head, finding and filtering students, arrow keys in the table. Without this script,
// the page has everything but these.

const value = cell => {
  const text = cell.dataset.v ?? cell.textContent.trim();
  const number = cell.tagName === "TH" ? null : text.match(/^-?\d+(\.\d+)?(?![.\d])/); // 3.1.4 is none
  return number ? parseFloat(number[0]) : text;
};
const compare = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b
  : typeof a === typeof b ? a.localeCompare(b, undefined, { numeric: true })
  : typeof a === "number" ? 1 : -1; // what has no number stands below what has one

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : head.classList.contains("number");
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map(row => [value(row.cells[column]), row]);
      rows.sort(([a], [b]) => (down ? compare(b, a) : compare(a, b)));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}

const grid = document.getElementById("grid");
if (grid) {
  const [tools, find, show, where, count] =
    ["tools", "find", "show", "where", "count"].map(id => document.getElementById(id));
  const students = [...grid.tBodies[0].rows].map(row => [row, [row.cells[0], row.querySelector(".group")].map(cell => cell?.textContent.toLowerCase() ?? "").join("\n")]);
  const first = Number(grid.dataset.first); // the column of the first exercise
  const apply = () => {
    const name = find.value.trim().toLowerCase(), classes = show.value.split(" ").filter(Boolean);
    const chosen = where.selectedIndex - 1; // -1 stands for any
    let shown = 0;
    for (const [row, text] of students) {
      const cells = [...row.cells].slice(first).filter((_, number) => chosen < 0 || number === chosen);
      const hit = text.includes(name) && (!classes.length || cells.some(cell => classes.includes(cell.className)));
      row.hidden = !hit;
      shown += hit;
    }
    count.textContent = shown === students.length ? "" : `${shown} of ${students.length} students`;
  };
  tools.addEventListener("input", apply);
  tools.addEventListener("submit", event => event.preventDefault());
  tools.hidden = false;
  apply(); // a browser may have kept what was typed before a reload

  // A tab stop for each student, not for each cell: the arrow keys go from cell to cell.
  for (const link of grid.querySelectorAll("td a")) link.tabIndex = -1;
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  grid.addEventListener("keydown", event => {
    const step = steps[event.key], cell = event.target.closest("tbody th, td");
    if (!step || !cell || event.altKey || event.ctrlKey || event.metaKey) return;
    const rows = [...grid.tBodies[0].rows].filter(row => !row.hidden);
    let line = rows.indexOf(cell.parentNode), column = cell.cellIndex, link = null;
    do {
      line += step[0];
      column += step[1];
      link = rows[line]?.cells[column]?.querySelector("a");
    } while (!link && rows[line]?.cells[column]);
    if (link) {
      link.focus();
      event.preventDefault();
    }
  });
}
