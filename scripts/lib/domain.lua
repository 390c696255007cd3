-- Names of hosts.
local domain = {}

-- second-level suffixes under which names are registered one level lower
local SUFFIX = {["co.uk"] = true, ["org.uk"] = true, ["ac.uk"] = true, ["gov.uk"] = true, ["com.au"] = true, ["net.au"] = true,
  ["co.jp"] = true, ["ne.jp"] = true, ["co.nz"] = true, ["com.br"] = true, ["com.cn"] = true, ["com.tr"] = true, ["co.in"] = true,
  ["co.za"] = true, ["com.mx"] = true, ["co.kr"] = true}

-- registered returns the part of a name that somebody registered: "example.co.uk" of "www.example.co.uk".
function domain.registered(name)
  name = string.lower(name)
  local two = string.match(name, "([^.]+%.[^.]+)%.?$")
  if two and SUFFIX[two] then
    return string.match(name, "([^.]+%.[^.]+%.[^.]+)%.?$") or two
  end
  return two or name
end

return domain
