// Before the first paint, so that a dark page does not flash white. The switch itself is in theme.js.
try {
  const theme = localStorage.getItem("folio-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // storage is blocked: the system's theme it is
}
