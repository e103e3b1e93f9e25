import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { checkOptions } from "../../checks.ts";

/** The options under the key `sojourn` of nuxt.config. */
export interface ModuleOptions {
  /**
   * The file that exports `sessions`, and `options` of the adapter where it needs any. The path is relative to the folder of
   * the server. Default `"sessions"`, which is `server/sessions.ts`.
   */
  sessions?: string | undefined;
}

/** What the module uses of Nuxt. */
interface Nuxt {
  readonly options: { readonly serverDir: string; readonly buildDir: string; readonly sojourn?: ModuleOptions };
  hook(name: string, listener: (given: never) => void): unknown;
}

interface NitroConfig {
  plugins?: string[];
  virtual?: Record<string, string | (() => string)>;
  imports?: { imports?: Import[] } | false;
}

interface Import {
  name: string;
  from: string;
}

interface Nitro {
  readonly hooks: { hook(name: "prerender:config", listener: (config: NitroConfig) => void): unknown };
}

/** Paths, since the declarations that Nuxt makes for automatic imports would not find an entry of a package. */
const APP = fileURLToPath(new URL("./app.js", import.meta.url));
const SERVER = fileURLToPath(new URL("./server.js", import.meta.url));
const FUNCTIONS = ["getUserSession", "setUserSession", "replaceUserSession", "requireUserSession", "clearUserSession"];

function sojourn(inline: ModuleOptions, nuxt: Nuxt): void {
  const options = { ...nuxt.options.sojourn, ...inline };
  checkOptions("sojourn/nuxt", options, { sessions: true });
  const file = resolve(nuxt.options.serverDir, options.sessions ?? "sessions");
  if (!["", ".ts", ".mts", ".js", ".mjs"].some((extension) => existsSync(file + extension))) {
    throw new TypeError(
      `sojourn/nuxt: ${file} is missing: it exports \`sessions\`, as createSessions makes them; another place is the option \`sessions\` of the key \`sojourn\` in nuxt.config`,
    );
  }
  // Nitro takes paths for plugins, and no file has to be there.
  const plugin = resolve(nuxt.options.buildDir, "sojourn-plugin.mjs");
  nuxt.hook("nitro:config", (config: NitroConfig) => {
    // The first one: plugins of the application find the session in their hooks.
    config.plugins = [plugin, ...(config.plugins ?? [])];
    config.virtual = { ...config.virtual, [plugin]: () => pluginFor(file) };
    if (config.imports === false) return;
    config.imports = { ...config.imports, imports: [...(config.imports?.imports ?? []), ...FUNCTIONS.map(toImport)] };
  });
  // The pages that are prerendered are for everybody. Nor is there a secret key where they are made.
  nuxt.hook("nitro:init", (nitro: Nitro) => {
    nitro.hooks.hook("prerender:config", (config) => {
      config.plugins = (config.plugins ?? []).filter((one) => one !== plugin);
    });
  });
  nuxt.hook("imports:extend", (imports: Import[]) => {
    imports.push({ name: "useUserSession", from: APP });
  });
}

const toImport = (name: string): Import => ({ name, from: SERVER });

/** Both are imported by the application's bundle, so that there is one copy of Sojourn. */
function pluginFor(file: string): string {
  return [
    `import { sessionPlugin } from ${JSON.stringify(SERVER)};`,
    `import * as given from ${JSON.stringify(file)};`,
    "export default sessionPlugin(given);",
  ].join("\n");
}

/** The form of a module of Nuxt. */
interface NuxtModule {
  (inline: ModuleOptions, nuxt: Nuxt): void;
  getMeta(): Promise<{ name: string; configKey: "sojourn"; compatibility: { nuxt: string } }>;
}

/**
 * The module for Nuxt 4. Every request has `event.context.session`. The functions of "sojourn/nuxt/server" and
 * `useUserSession()` are imported automatically.
 *
 * @example export default defineNuxtConfig({ modules: ["sojourn/nuxt"] });
 * @throws TypeError for an unknown option, and where the file of the sessions is missing.
 */
const nuxtModule: NuxtModule = Object.assign(sojourn, {
  getMeta: async () => ({ name: "sojourn", configKey: "sojourn" as const, compatibility: { nuxt: ">=4.0.0" } }),
});

// oxlint-disable-next-line import/no-default-export -- Nuxt takes nothing else
export default nuxtModule;
