-- The end of force-release.lua.
sweep(keys)
return 1
