// One box that tells of the chip under the pointer or with the focus.

const popover = document.getElementById("popover");
let popoverOwner = null;

function showPopover(owner, content) {
  if (popoverOwner && popoverOwner !== owner) popoverOwner.removeAttribute("aria-describedby");
  popoverOwner = owner;
  owner.setAttribute("aria-describedby", "popover");
  replaceContent(popover, content);
  popover.hidden = false;
  placePopover();
}

function placePopover() {
  const edge = 8, chip = popoverOwner.getBoundingClientRect(), box = popover.getBoundingClientRect();
  const left = Math.max(edge, Math.min(chip.left, innerWidth - box.width - edge));
  const below = chip.bottom + 6, above = chip.top - box.height - 6;
  popover.style.left = `${left}px`;
  popover.style.top = `${below + box.height > innerHeight - edge && above > edge ? above : below}px`;
}

function hidePopover() {
  if (popoverOwner) popoverOwner.removeAttribute("aria-describedby");
  popoverOwner = null;
  popover.hidden = true;
}

function withPopover(owner, makeContent) {
  let leaving = 0;
  const show = () => { clearTimeout(leaving); showPopover(owner, makeContent()); };
  const leave = () => { leaving = setTimeout(() => { if (popoverOwner === owner && !popover.matches(":hover")) hidePopover(); }, 120); };
  owner.addEventListener("mouseenter", show);
  owner.addEventListener("focus", show);
  owner.addEventListener("mouseleave", leave);
  owner.addEventListener("blur", leave);
  return owner;
}

popover.addEventListener("mouseleave", () => { if (popoverOwner !== document.activeElement) hidePopover(); });
addEventListener("keydown", (event) => { if (event.key === "Escape") hidePopover(); });

// It goes with its chip: one that the tab key reaches is often scrolled to only then.
addEventListener("scroll", () => {
  if (!popoverOwner) return;
  const chip = popoverOwner.getBoundingClientRect(), bar = document.querySelector(".top").offsetHeight;
  if (chip.bottom < bar || chip.top > innerHeight) hidePopover();
  else placePopover();
}, { capture: true, passive: true });
