// The linter of the forms' front end, `tunix_rt/widgets/static/`: `npm run check`.
import { readFileSync, readdirSync } from "node:fs";
import js from "@eslint/js";
import { defineConfig } from "eslint/config";
import globals from "globals";

const WIDGETS = new URL("tunix_rt/widgets/", import.meta.url);
const read = (path) => readFileSync(new URL(path, WIDGETS), "utf-8");

// A form is made of several files, joined into one module in the order that its Python class gives, as in
// `_esm = front_end("rows", "browser")`. A file may use what the files before it declare, in every form that it is part of.
const forms = readdirSync(WIDGETS)
  .filter((path) => path.endsWith(".py"))
  .flatMap((path) => [...read(path).matchAll(/= front_end\((.+)\)/g)])
  .map(([, names]) => ["form", ...names.matchAll(/\w+/g)].map(String));
const parts = [...new Set(forms.flat())];
const declared = (part) =>
  [...read(`static/${part}.js`).matchAll(/^(?:async function|function|const|let) (\w+)/gm)].map(([, name]) => name);
const offered = (part) =>
  forms
    .filter((form) => form.includes(part))
    .map((form) => form.slice(0, form.indexOf(part)).flatMap(declared))
    .reduce((names, others) => names.filter((name) => others.includes(name)));
const usedElsewhere = (part) => {
  const others = parts.filter((other) => other !== part).map((other) => read(`static/${other}.js`));
  const all = [read("form.py"), ...others].join("\n");
  return declared(part).filter((name) => name === `${part}Form` || new RegExp(`\\b${name}\\b`).test(all));
};

// Of the window's own names these are not offered: a parameter may be called so, and one that is not declared is an error.
const WORDS = ["event", "model", "name"];
const browser = Object.fromEntries(Object.entries(globals.browser).filter(([name]) => !WORDS.includes(name)));

export default defineConfig([
  { files: ["*.mjs"], extends: [js.configs.recommended], languageOptions: { globals: globals.nodeBuiltin } },
  ...parts.map((part) => ({
    files: [`tunix_rt/widgets/static/${part}.js`],
    extends: [js.configs.recommended],
    linterOptions: { reportUnusedDisableDirectives: "error" },
    languageOptions: {
      sourceType: "script",
      globals: { ...browser, ...Object.fromEntries(offered(part).map((name) => [name, "readonly"])) },
    },
    rules: {
      eqeqeq: "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-shadow": ["error", { builtinGlobals: true, hoist: "all" }],
      "no-unused-vars": ["error", { varsIgnorePattern: `^(_|${usedElsewhere(part).join("|")})$` }],
      "no-var": "error",
      "prefer-const": "error",
    },
  })),
]);
