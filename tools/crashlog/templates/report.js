"use strict";
// The search of the log, and the number of records that are shown. Everything else needs no script.
(() => {
  const search = document.getElementById("search");
  if (!search) return;
  const find = document.getElementById("find");
  const found = document.getElementById("found");
  const rows = Array.from(document.querySelectorAll(".records tbody tr"));
  const records = rows.filter((row) => !row.classList.contains("gap"));
  const texts = records.map((row) => row.lastElementChild.textContent.toLowerCase());

  const count = () => {
    const shown = records.filter((row) => row.getClientRects().length > 0).length;
    found.value = shown + " of " + records.length + " records";
  };
  const apply = () => {
    const text = find.value.toLowerCase();
    records.forEach((row, index) => {
      row.classList.toggle("unmatched", !texts[index].includes(text));
    });
    count();
  };

  // The address of the page may carry a text: report.html#find=TEXT
  const carried = location.hash.match(/^#find=(.*)$/);
  if (carried) {
    try {
      find.value = decodeURIComponent(carried[1]);
    } catch {
      // It is no encoded text: nothing is searched.
    }
  }
  search.hidden = false;
  find.addEventListener("input", apply);
  document.querySelector(".filter").addEventListener("change", count);
  document.querySelector(".filter").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement && event.target.type === "search";
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      find.focus();
    }
  });
  apply();
})();
