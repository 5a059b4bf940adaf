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
})();
