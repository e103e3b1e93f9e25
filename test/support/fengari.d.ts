// The calls of Lua in JavaScript that lua.ts makes; it comes without types.
declare module "fengari" {
  type State = object;
  const fengari: {
    to_luastring(text: string): Uint8Array;
    lua: {
      readonly LUA_REGISTRYINDEX: number;
      readonly LUA_MULTRET: number;
      readonly LUA_TNIL: number;
      readonly LUA_TBOOLEAN: number;
      readonly LUA_TNUMBER: number;
      readonly LUA_TSTRING: number;
      readonly LUA_TTABLE: number;
      lua_type(state: State, index: number): number;
      lua_toboolean(state: State, index: number): boolean;
      lua_tonumber(state: State, index: number): number;
      lua_tolstring(state: State, index: number): Uint8Array;
      lua_gettop(state: State): number;
      lua_settop(state: State, top: number): void;
      lua_pushboolean(state: State, value: boolean): void;
      lua_pushnumber(state: State, value: number): void;
      lua_pushlstring(state: State, value: Uint8Array, length: number): void;
      lua_pushcfunction(state: State, call: (state: State) => number): void;
      lua_pcall(state: State, given: number, results: number, handler: number): number;
      lua_error(state: State): never;
      lua_newtable(state: State): void;
      lua_rawget(state: State, index: number): number;
      lua_rawgeti(state: State, index: number, at: number): number;
      lua_rawseti(state: State, index: number, at: number): void;
      lua_rawlen(state: State, index: number): number;
      lua_setfield(state: State, index: number, name: Uint8Array): void;
      lua_setglobal(state: State, name: Uint8Array): void;
    };
    lauxlib: {
      luaL_newstate(): State;
      luaL_loadbuffer(state: State, code: Uint8Array, length: number, name: Uint8Array): number;
      luaL_ref(state: State, index: number): number;
    };
    lualib: { luaL_openlibs(state: State): void };
  };
  export default fengari;
}
