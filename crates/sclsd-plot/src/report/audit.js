// The audit: verdicts as words with a sign, never as a colour alone, and a table of the checks.

const SIGNS = { believe: "✓", look: "?", "do not believe": "✗" };

function verdictBadge(verdict) {
  return element("span", { class: `verdict ${verdict.replaceAll(" ", "-")}` }, `${SIGNS[verdict] || ""} ${verdict}`);
}

function startAudit() {
  const { audit } = data;
  if (!audit) return;
  $("audit").hidden = false;
  $("verdict").append(verdictBadge(audit.verdict));
  $("statements").append(...audit.statements.map(([name, verdict]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, verdictBadge(verdict)))));
  const mark = (passed) => passed === null ? "not made" : passed ? "passed" : "failed";
  const rows = audit.checks.map((check) => element("tr", { class: mark(check.passed).replace(" ", "-") },
    element("td", {}, mark(check.passed)), element("th", { scope: "row" }, check.name),
    element("td", { class: "number" }, check.value === null ? "–" : short(check.value)),
    element("td", { class: "number" }, short(check.threshold)), element("td", {}, check.says)));
  const head = element("tr", {}, ...["", "Check", "Value", "Threshold", "What it says"].map((name) => element("th", { scope: "col" }, name)));
  const failed = audit.checks.filter((check) => check.passed === false);
  $("failed").append(...failed.map((check) => element("li", {}, check.says)));
  $("checks").querySelector("table").append(element("thead", {}, head), element("tbody", {}, ...rows));
}
