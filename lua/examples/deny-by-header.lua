-- deny-by-header.lua -- refuses a request that carries x-lab-deny, with the header's value as the reason; marks the rest.
function on_request(request)
  local why = request:header("x-lab-deny")
  if why then
    return deny("denied by header: " .. why)
  end
  tag("checked", "yes")
end
