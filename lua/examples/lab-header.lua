-- lab-header.lua -- what the lab shows: every answer says that it came through the mesh, and by whom it was asked.
function on_response(response, request)
  response:set_header("x-ambit-lab", "1")
  if request.identity then
    response:set_header("x-ambit-client", request.identity)
  end
end
