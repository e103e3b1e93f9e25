import fengari from "fengari";

const { lua, lauxlib, lualib, to_luastring } = fengari;

/** A reply of `redis.call`, and of a script. */
export type LuaValue = Buffer | number | null | LuaValue[];
export type LuaCall = (command: Buffer[]) => LuaValue;

// Redis has Lua 5.1, where every number is a double. The interpreter here has integers of 32 bits as well.
const LIKE_5_1 = `
local byte = string.byte
local function doubles(first, ...)
  if first == nil then return end
  return first + 0.0, doubles(...)
end
string.byte = function(...) return doubles(byte(...)) end
local tonumber_ = tonumber
tonumber = function(value, ...)
  local number = tonumber_(value, ...)
  return number and number + 0.0
end
`;

/** Creates an interpreter for the scripts of Redis. Their `redis.call` is `call`. */
export function luaScripts(call: LuaCall): (text: string, keys: Buffer[], args: Buffer[]) => LuaValue {
  const state = lauxlib.luaL_newstate();
  lualib.luaL_openlibs(state);
  const loaded = new Map<string, number>();

  function load(text: string): number {
    const code = to_luastring(text);
    if (lauxlib.luaL_loadbuffer(state, code, code.length, to_luastring("=script")) !== 0) throw failure();
    return lauxlib.luaL_ref(state, lua.LUA_REGISTRYINDEX);
  }

  function failure(): Error {
    const error = new Error(String(read(-1)));
    lua.lua_settop(state, 0);
    return error;
  }

  function read(index: number): LuaValue {
    switch (lua.lua_type(state, index)) {
      case lua.LUA_TSTRING:
        return Buffer.from(lua.lua_tolstring(state, index));
      case lua.LUA_TNUMBER:
        return Math.trunc(lua.lua_tonumber(state, index));
      case lua.LUA_TBOOLEAN:
        return lua.lua_toboolean(state, index) ? 1 : null;
      case lua.LUA_TTABLE:
        return Array.from({ length: lua.lua_rawlen(state, index) }, (_, at) => {
          lua.lua_rawgeti(state, index, at + 1);
          const value = read(lua.lua_gettop(state));
          lua.lua_settop(state, lua.lua_gettop(state) - 1);
          return value;
        });
      default:
        return null;
    }
  }

  function push(value: LuaValue): void {
    if (value === null) lua.lua_pushboolean(state, false);
    else if (typeof value === "number") lua.lua_pushnumber(state, value);
    else if (Buffer.isBuffer(value)) lua.lua_pushlstring(state, value, value.length);
    else {
      lua.lua_newtable(state);
      const table = lua.lua_gettop(state);
      for (const [at, each] of value.entries()) {
        push(each);
        lua.lua_rawseti(state, table, at + 1);
      }
    }
  }

  function run(code: number): LuaValue {
    lua.lua_settop(state, 0);
    lua.lua_rawgeti(state, lua.LUA_REGISTRYINDEX, code);
    if (lua.lua_pcall(state, 0, 1, 0) !== 0) throw failure();
    const reply = read(1);
    lua.lua_settop(state, 0);
    return reply;
  }

  lua.lua_newtable(state);
  lua.lua_pushcfunction(state, () => {
    const command = Array.from({ length: lua.lua_gettop(state) }, (_, at) => {
      const argument = read(at + 1);
      return Buffer.isBuffer(argument) ? argument : Buffer.from(String(argument));
    });
    push(call(command));
    return 1;
  });
  lua.lua_setfield(state, 1, to_luastring("call"));
  lua.lua_setglobal(state, to_luastring("redis"));
  run(load(LIKE_5_1));

  return (text, keys, args) => {
    for (const [name, values] of Object.entries({ KEYS: keys, ARGV: args })) {
      push(values);
      lua.lua_setglobal(state, to_luastring(name));
    }
    const code = loaded.get(text) ?? load(text);
    loaded.set(text, code);
    return run(code);
  };
}
