"use strict";
(() => {
  const all = (what, from = document) => [...from.querySelectorAll(what)];
  // What only works with a script is shown by it.
  all("button.late, .search").forEach((e) => { e.classList.remove("late"); e.hidden = false; });

  all(".compare input").forEach((input) => {
    const show = () => input.parentElement.style.setProperty("--cut", input.value + "%");
    input.addEventListener("input", show);
    show();
  });

  // Masks lie on the map as they lie on the ground: each picture is in the file once.
  all("svg image.late").forEach((image) => {
    const mask = document.querySelector("#" + image.dataset.of + " img.mask");
    if (mask) {
      image.setAttribute("href", mask.src);
      image.classList.remove("late");
    }
  });

  all("button.toggle").forEach((button) => button.addEventListener("click", () => {
    const shown = button.parentElement.classList.toggle("hot");
    button.setAttribute("aria-pressed", shown);
    button.textContent = shown ? "Show the classes" : "Show where members disagree";
  }));

  all("button.copy").forEach((button) => button.addEventListener("click", async () => {
    const from = document.getElementById(button.dataset.copies);
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(from.textContent);
    } catch {
      // A file from disk may have no clipboard.
      getSelection().selectAllChildren(from);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = said; }, 1500);
  }));

  const find = document.getElementById("find");
  if (find) {
    const scenes = all(".found").map((e) => [e, e.querySelector("h3, th").textContent.toLowerCase()]);
    find.addEventListener("input", () => {
      const wanted = find.value.trim().toLowerCase();
      scenes.forEach(([e, name]) => { e.hidden = !name.includes(wanted); });
    });
  }

  const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent;
  all("table.sortable").forEach((table) => {
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
