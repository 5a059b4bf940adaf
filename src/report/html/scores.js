"use strict";
(() => {
  const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent;
  document.querySelectorAll("table.sortable").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const falls = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", falls ? "descending" : "ascending");
        const body = table.tBodies[0];
        // What has no figure comes last either way.
        const compare = (a, b) => {
          const [x, y] = [value(a, column), value(b, column)];
          if (x === "" || y === "") return (x === "") - (y === "");
          const order = column === 0 ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
          return falls ? -order : order;
        };
        body.append(...[...body.rows].sort(compare));
      });
    });
  });
})();
