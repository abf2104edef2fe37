-- namespace-guard.lua -- only these namespaces may connect; for ztunnels and waypoints alike.
local allowed = { bookinfo = true, ["ambit-system"] = true }

function on_connect(connection)
  local namespace = connection.source.namespace
  if not namespace then
    return deny("no identity")
  end
  if not allowed[namespace] then
    return deny("namespace " .. namespace .. " may not connect")
  end
end
