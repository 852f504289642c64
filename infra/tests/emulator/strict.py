"""What CloudFormation refuses and moto lets through."""
import re
import traceback

from cfnlint.jsonschema import StandardValidator
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER as SCHEMAS
from moto.cloudformation import models, parsing, responses, utils
from moto.cloudformation.exceptions import UnformattedGetAttTemplateException, ValidationError

from moto.core.exceptions import ServiceException

from . import DEPLOYED, REGION, Record

TEMPLATE_LIMIT = 51200


def schema(resource_type):
    """The registry schema of a type, or None when there is no such type."""
    try:
        return SCHEMAS.get_resource_schema(REGION, resource_type).schema
    except Exception:
        return None


def read_only(s):
    return {".".join(p.split("/")[2:]) for p in s.get("readOnlyProperties") or []}


# ---- intrinsics -------------------------------------------------------------

NOVALUE = object()


def resolve(node, rmap):
    """moto's clean_json, but strict: an unknown name is an error, AWS::NoValue
    disappears from lists too, and ${!Literal} stays literal."""
    value = _resolve(node, rmap)
    return None if value is NOVALUE else value


def _resolve(node, rmap):
    if isinstance(node, list):
        return [v for v in (_resolve(x, rmap) for x in node) if v is not NOVALUE]
    if not isinstance(node, dict):
        return node
    if len(node) == 1:
        (key, arg), = node.items()
        if key == "Ref":
            return _ref(arg, rmap)
        if key in ("Fn::Equals", "Fn::Not", "Fn::And", "Fn::Or"):      # nested conditions: moto evaluates them
            return {key: _resolve(arg, rmap)}
        if key.startswith("Fn::"):
            if key not in FUNCTIONS:
                raise ValidationError(message=f"Template error: {key} is not supported here")
            return FUNCTIONS[key](arg, rmap)
    out = {}
    for k, v in node.items():
        v = _resolve(v, rmap)
        if v is not NOVALUE:
            out[k] = v
    return out


def _ref(name, rmap):
    if name == "AWS::NoValue":
        return NOVALUE
    try:
        target = rmap[name]
    except KeyError:
        raise ValidationError(message=f"Template format error: Unresolved resource dependencies [{name}]")
    if target is None:
        raise ValidationError(message=f"Template format error: [{name}] is not created under these conditions")
    return target.physical_resource_id if hasattr(target, "physical_resource_id") else target


def _getatt(arg, rmap):
    name, attribute = arg if isinstance(arg, list) else arg.split(".", 1)
    try:
        target = rmap[name]
    except KeyError:
        target = None
    if target is None:
        raise ValidationError(message=f"Template error: instance of Fn::GetAtt references undefined resource {name}")
    try:
        return target.get_cfn_attribute(attribute)
    except (UnformattedGetAttTemplateException, NotImplementedError, KeyError):
        raise ValidationError(message=f"Template error: resource {name} does not support attribute type {attribute} in Fn::GetAtt")


def _sub(arg, rmap):
    text, own = (arg, {}) if isinstance(arg, str) else (arg[0], {k: _resolve(v, rmap) for k, v in arg[1].items()})

    def one(match):
        name = match.group(1)
        if name.startswith("!"):
            return "${" + name[1:] + "}"
        if name in own:
            return str(own[name])
        value = _getatt(name, rmap) if "." in name else _ref(name, rmap)
        if isinstance(value, list):
            raise ValidationError(message=f"Template error: Fn::Sub cannot use the list {name}")
        return str(value)

    return re.sub(r"\$\{([^}]*)\}", one, text)


def _join(arg, rmap):
    parts = _resolve(arg[1], rmap)
    if not isinstance(parts, list):
        raise ValidationError(message="Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of strings")
    return arg[0].join(str(p) for p in parts)


def _find(arg, rmap):
    try:
        value = rmap[arg[0]]
        for key in arg[1:]:
            value = value[str(_resolve(key, rmap))]
        return value
    except KeyError as e:
        raise ValidationError(message=f"Template error: Unable to get mapping for {arg[0]}: {e}")


def _if(arg, rmap):
    name, yes, no = arg
    if name not in rmap.lazy_condition_map:
        raise ValidationError(message=f"Template error: unresolved condition dependency {name}")
    return _resolve(yes if rmap.lazy_condition_map[name] else no, rmap)


def _select(arg, rmap):
    index, values = int(_resolve(arg[0], rmap)), _resolve(arg[1], rmap)
    if not 0 <= index < len(values):
        raise ValidationError(message=f"Template error: Fn::Select cannot select nonexistent value at index {index}")
    return values[index]


def _cidr(arg, rmap):
    import ipaddress
    block, count, bits = ipaddress.ip_network(_resolve(arg[0], rmap)), int(_resolve(arg[1], rmap)), int(_resolve(arg[2], rmap))
    return [str(n) for _, n in zip(range(count), block.subnets(new_prefix=32 - bits))]


FUNCTIONS = {
    "Fn::GetAtt": _getatt, "Fn::Sub": _sub, "Fn::Join": _join, "Fn::If": _if,
    "Fn::FindInMap": _find, "Fn::Select": _select, "Fn::Cidr": _cidr,
    "Fn::Split": lambda a, m: str(_resolve(a[1], m)).split(a[0]),
    "Fn::GetAZs": lambda a, m: [f"{_resolve(a, m) or m['AWS::Region']}{z}" for z in "acd"],
}


# ---- properties against the registry schema ---------------------------------

def _castable(error):
    """CloudFormation takes "30" for 30 and 30 for "30"; the schema does not."""
    if error.validator != "type":
        return False
    want = error.schema.get("type")
    want = want if isinstance(want, list) else [want]
    v = error.instance
    if isinstance(v, (bool, int, float)):
        return "string" in want
    if isinstance(v, str):
        return ("integer" in want and re.fullmatch(r"-?\d+", v)) or \
               ("number" in want and re.fullmatch(r"-?\d+(\.\d+)?", v)) or \
               ("boolean" in want and v.lower() in ("true", "false")) or \
               ("object" in want and v.lstrip().startswith("{"))
    return False


def _leaves(error):
    context = getattr(error, "context", None)
    if error.validator in ("anyOf", "oneOf", "allOf") and context:
        for e in context:
            yield from _leaves(e)
    else:
        yield error


def check_properties(resource_type, logical_id, properties):
    """Fails the stack when resolved properties break the type's schema."""
    s = schema(resource_type)
    if s is None:
        raise ValidationError(message=f"Template format error: Unrecognized resource types: [{resource_type}]")
    for name in read_only(s):
        if name in properties:
            raise ValidationError(message=f"{resource_type} {logical_id}: {name} is read-only")
    for error in StandardValidator(schema=s).iter_errors(properties):
        leaves = list(_leaves(error))
        if any(_castable(e) for e in leaves):
            continue
        where = "/".join(str(p) for p in error.path)
        raise ValidationError(message=f"{resource_type} {logical_id}: Properties validation failed at #/{where}: {error.message}")


# ---- parameters -------------------------------------------------------------

def _is_list(t):
    return t == "CommaDelimitedList" or t.startswith("List<")


def check_parameters(slots, given):
    extra = sorted(set(given) - set(slots))
    if extra:
        raise ValidationError(message=f"Parameters: [{', '.join(extra)}] do not exist in the template")
    for name, d in slots.items():
        value = given.get(name, d.get("Default"))
        if value is None:
            raise ValidationError(message=f"Parameters: [{name}] must have values")
        for x in str(value).split(",") if _is_list(d["Type"]) else [str(value)]:
            _check_one(name, d, x.strip() if _is_list(d["Type"]) else x)


def _check_one(name, d, x):
    def refuse(why):
        raise ValidationError(message=f"Parameter {name} failed to satisfy constraint: {d.get('ConstraintDescription') or why}")

    if d.get("AllowedValues") is not None and x not in [str(a) for a in d["AllowedValues"]]:
        refuse(f"must be one of {d['AllowedValues']}")
    if d.get("AllowedPattern") and not re.fullmatch(d["AllowedPattern"], x):
        refuse(f"must match {d['AllowedPattern']}")
    if d["Type"] == "String":
        if len(x) < int(d.get("MinLength", 0)) or len(x) > int(d.get("MaxLength", 4096)):
            refuse("length")
    if d["Type"] in ("Number", "List<Number>"):
        if not re.fullmatch(r"-?\d+(\.\d+)?", x):
            refuse("must be a number")
        if float(x) < float(d.get("MinValue", x)) or float(x) > float(d.get("MaxValue", x)):
            refuse("must be between MinValue and MaxValue")
    if d["Type"] in AWS_TYPES and not re.fullmatch(AWS_TYPES[d["Type"]], x):
        refuse(f"not a {d['Type']}")


AWS_TYPES = {
    "AWS::EC2::VPC::Id": r"vpc-[0-9a-f]{8,17}",
    "List<AWS::EC2::Subnet::Id>": r"subnet-[0-9a-f]{8,17}",
    "AWS::EC2::Subnet::Id": r"subnet-[0-9a-f]{8,17}",
    "List<AWS::EC2::RouteTable::Id>": r"rtb-[0-9a-f]{8,17}",
}


# ---- rules ------------------------------------------------------------------

def check_rules(rules, parameters):
    """The template's own assertions about parameters, which moto does not read."""
    for name, rule in rules.items():
        if "RuleCondition" in rule and not _rule(rule["RuleCondition"], parameters):
            continue
        for a in rule["Assertions"]:
            if not _rule(a["Assert"], parameters):
                raise ValidationError(message=f"Rule {name} failed: {a.get('AssertDescription', a['Assert'])}")


def _rule(node, parameters):
    if not isinstance(node, dict):
        return [_rule(x, parameters) for x in node] if isinstance(node, list) else node
    (key, arg), = node.items()
    if key == "Ref":
        return str(parameters[arg])
    if key not in RULE_FUNCTIONS:
        raise ValidationError(message=f"Template error: {key} is not supported in Rules")
    return RULE_FUNCTIONS[key](_rule(arg, parameters))


RULE_FUNCTIONS = {
    "Fn::Equals": lambda a: a[0] == a[1], "Fn::Not": lambda a: not a[0], "Fn::And": all, "Fn::Or": any,
    "Fn::Contains": lambda a: a[1] in a[0],
}


# ---- installing -------------------------------------------------------------

def install():
    if getattr(parsing, "_strict", False):
        return
    parsing._strict = True
    parsing.clean_json = resolve
    _patch_yaml()
    _patch_parameters()
    _patch_resources()
    _patch_deletion()
    _patch_api()


def _patch_yaml():
    original = utils.yaml_tag_constructor

    def constructor(loader, tag, node):
        if tag == "!GetAtt" and isinstance(node.value, str):
            return {"Fn::GetAtt": node.value.split(".", 1)}    # moto splits at every dot
        if tag == "!Condition":
            return {"Condition": node.value}                   # moto says Fn::Condition and reads it as false
        if not isinstance(node.value, str):
            import yaml
            value = loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else loader.construct_mapping(node, deep=True)
            return {"Ref" if tag == "!Ref" else f"Fn::{tag[1:]}": value}
        return original(loader, tag, node)

    for module in (models, responses, utils):
        if hasattr(module, "yaml_tag_constructor"):
            module.yaml_tag_constructor = constructor


def _patch_parameters():
    rmap = parsing.ResourceMap
    original = rmap.load_parameters

    def load_parameters(self):
        slots = self._template.get("Parameters") or {}
        check_parameters(slots, self.input_parameters)
        check_rules(self._template.get("Rules") or {}, {n: self.input_parameters.get(n, d.get("Default")) for n, d in slots.items()})
        for name, d in slots.items():      # moto splits and casts only what was passed in
            if name not in self.input_parameters:
                self.input_parameters[name] = str(d["Default"])
        original(self)
        for name, d in slots.items():
            if _is_list(d["Type"]) and isinstance(self._parsed_resources.get(name), list):
                self._parsed_resources[name] = [x.strip() if isinstance(x, str) else x for x in self._parsed_resources[name]]

    rmap.load_parameters = load_parameters


def _patch_resources():
    original = parsing.parse_resource_and_generate_name

    def named(logical_id, resource_json, rmap):
        for dependency in _as_list(resource_json.get("DependsOn")):
            rmap[dependency]        # KeyError when there is none
        out = original(logical_id, resource_json, rmap)
        if not out:
            raise ValidationError(message=f"{resource_json['Type']} {logical_id}: the emulator has no model for this type")
        resource_class, resolved, name = out
        properties = resolved.get("Properties") or {}
        check_properties(resource_json["Type"], logical_id, properties)
        rmap.__dict__.setdefault("_resolved", {})[logical_id] = (resource_json, properties, name)
        return out

    parsing.parse_resource_and_generate_name = named
    create = parsing.parse_and_create_resource

    def parse_and_create_resource(logical_id, resource_json, rmap, account_id, region_name):
        resource = create(logical_id, resource_json, rmap, account_id, region_name)
        if resource is not None:
            raw, properties, name = rmap._resolved[logical_id]
            stack = rmap["AWS::StackName"]
            DEPLOYED[stack, logical_id] = Record(stack, logical_id, raw["Type"], properties, name, resource, raw)
        return resource

    parsing.parse_and_create_resource = parse_and_create_resource


def _as_list(x):
    return [] if x is None else x if isinstance(x, list) else [x]


def _patch_deletion():
    """moto deletes in no fixed order; CloudFormation in the reverse of creation,
    and what stands in the way fails the deletion."""

    def delete(self):
        stack = self["AWS::StackName"]
        left = [r for (name, _), r in reversed(DEPLOYED.items()) if name == stack]
        for record in left:
            if not record.template.get("DeletionPolicy", "").startswith("Retain"):
                try:
                    self._delete_resource(record.resource, record.template)
                except Exception as e:
                    raise ValidationError(message=f"DELETE_FAILED {record.type} {record.logical_id}: {e}")
            del DEPLOYED[stack, record.logical_id]
            self._parsed_resources.pop(record.logical_id, None)

    parsing.ResourceMap.delete = delete
    backend = models.CloudFormationBackend
    original = backend.delete_stack

    def delete_stack(self, name_or_stack_id):
        before = dict(self.stacks)
        try:
            return original(self, name_or_stack_id)
        except Exception:
            for stack_id, stack in before.items():      # moto forgets a stack whose deletion failed
                if stack_id not in self.stacks:
                    stack.status = "DELETE_FAILED"
                    self.stacks[stack_id] = stack
                    self.deleted_stacks.pop(stack_id, None)
            raise

    backend.delete_stack = delete_stack


NAMED = {"RoleName", "GroupName", "UserName", "ManagedPolicyName", "InstanceProfileName"}


def check_body(body, capabilities):
    if len(body.encode()) > TEMPLATE_LIMIT:
        raise ValidationError(message="1 validation error detected: templateBody must have length less than or equal to 51200")
    need = set()
    for r in (models.Stack.parse_template(body).get("Resources") or {}).values():
        if str(r.get("Type", "")).startswith("AWS::IAM::"):
            need.add("CAPABILITY_NAMED_IAM" if NAMED & set(r.get("Properties") or {}) else "CAPABILITY_IAM")
    have = set(capabilities)
    if "CAPABILITY_NAMED_IAM" in have:
        have.add("CAPABILITY_IAM")
    if need - have:
        raise ValidationError(message=f"Requires capabilities : {sorted(need - have)}")


def _roll_back(backend, name):
    """Undoes a stack that failed in the middle: moto keeps its resources."""
    for stack_id, stack in list(backend.stacks.items()):
        if stack.name == name and stack.status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            made = [stack.resource_map._parsed_resources.get(n) for n in stack.resource_map.resources]
            for _ in range(5):
                made = [r for r in reversed(made) if r is not None and not _gone(stack.resource_map, r)]
            del backend.stacks[stack_id]
            for key in [k for k in DEPLOYED if k[0] == name]:
                del DEPLOYED[key]


def _gone(rmap, resource):
    try:
        rmap._delete_resource(resource, rmap._resource_json_map[resource.logical_resource_id])
        return True
    except Exception:
        return False        # something still uses it: next pass


def _patch_api():
    api = responses.CloudFormationResponse
    for action in ("create_stack", "update_stack", "create_change_set"):
        original = getattr(api, action)

        def guarded(self, original=original):
            body = self._get_param("TemplateBody")
            if body:
                check_body(body, self._get_param("Capabilities", []) or [])
            try:
                return original(self)
            except Exception as e:
                _roll_back(self.cloudformation_backend, self._get_param("StackName"))
                if isinstance(e, ServiceException):
                    raise
                if isinstance(e, RecursionError):
                    raise ValidationError(message="Circular dependency between resources")
                traceback.print_exc()       # a fault of moto's or ours: never a 500 without a reason
                raise ValidationError(message=f"the emulator failed: {type(e).__name__} {e}")

        setattr(api, action, guarded)
