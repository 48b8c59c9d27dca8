// A line that follows the pointer over every picture with a time axis, and says when that is.
(function () {
  const [duration, marks] = JSON.parse(document.getElementById("marks").textContent);
  const strips = [...document.querySelectorAll(".strip")];
  if (!strips.length || !duration) return;
  const cursors = strips.map((strip, index) => {
    const line = document.createElement("div");
    line.className = "cursor";
    line.hidden = true;
    if (!index || strip.matches(".plot")) line.append(document.createElement("span"));
    strip.append(line);
    return line;
  });

  function when(second) {
    let low = 0, high = marks.length; // the first trial that ends from here on
    while (low < high) {
      const middle = (low + high) >> 1;
      if (marks[middle][0] < second) low = middle + 1; else high = middle;
    }
    const trial = low < marks.length ? ", trial " + marks[low][1].toLocaleString("en") : "";
    return second.toFixed(duration < 20 ? 2 : 1) + " s" + trial;
  }

  function follow(event) {
    const strip = event.target.closest(".strip");
    if (!strip) return hide();
    const place = strip.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (event.clientX - place.left) / place.width));
    for (const line of cursors) {
      line.hidden = false;
      line.style.left = 100 * part + "%";
      line.classList.toggle("left", part > 0.75);
      if (line.firstChild) line.firstChild.textContent = when(part * duration);
    }
  }

  function hide() { for (const line of cursors) line.hidden = true; }

  for (const timed of document.querySelectorAll(".timed")) {
    timed.addEventListener("pointermove", follow);
    timed.addEventListener("pointerleave", hide);
  }
})();
