"""Models for the resource types that moto lacks, made from the registry schema."""
import uuid

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import UnformattedGetAttTemplateException, ValidationError
from moto.core.common_models import CloudFormationModel

from . import backing, client
from .strict import read_only, schema

#: what Ref answers, where that is not the primary identifier
REF_PROPERTY = {
    "AWS::Logs::MetricFilter": "FilterName",
    "AWS::Logs::SubscriptionFilter": "FilterName",
    "AWS::Logs::LogStream": "LogStreamName",
    "AWS::SES::ConfigurationSet": "Name",
}
REF_ATTRIBUTE = {
    "AWS::ApplicationAutoScaling::ScalableTarget": "Id",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "Arn",
}
_models = {}


def _name_property(t, s):
    key = REF_PROPERTY.get(t, (s.get("primaryIdentifier") or ["/properties/Id"])[0].split("/")[-1])
    if key in s["properties"] and key not in read_only(s):
        return key, key
    short = t.split("::")[-1]
    return key, next((n for n in ("Name", short + "Name", "GroupName") if n in s["properties"]), "")


def _default_attributes(t, ro, name, account, region, stack):
    service, kind = t.split("::")[1].lower(), t.split("::")[2].lower()
    out = {a: f"{name}-{a}" for a in ro}
    for a in ("Arn", "ARN"):
        if a in ro:
            out[a] = f"arn:aws:{service}:{region}:{account}:{kind}/{name}"
    for a in ("Id", "QueryDefinitionId"):
        if a in ro:
            out[a] = str(uuid.uuid5(uuid.NAMESPACE_URL, stack + name))
    return out


def model(t):
    """The model class of type t."""
    s = schema(t)
    if s is None:
        raise ValidationError(message=f"Template format error: Unrecognized resource types: [{t}]")
    if t not in backing.BACK and t not in backing.RECORDED:
        raise ValidationError(message=f"{t}: the emulator neither creates nor records this type; see tests/emulator/backing.py")
    ro = read_only(s)
    key, name_property = _name_property(t, s)

    class Generated(CloudFormationModel):
        __module__ = "moto.cloudformation.generated"    # moto reads the service's name from here

        @staticmethod
        def cloudformation_name_type():
            return name_property

        @staticmethod
        def cloudformation_type():
            return t

        @classmethod
        def has_cfn_attr(cls, attr):
            return attr in ro

        @classmethod
        def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **kw):
            self = cls()
            self.properties = cloudformation_json.get("Properties") or {}
            self.about = {"name": resource_name, "account": account_id, "region": region_name}
            self.attributes = _default_attributes(t, ro, resource_name, account_id, region_name, kw.get("StackId", ""))
            create = backing.BACK.get(t, (None, None))[0]
            if create:
                try:
                    self.attributes.update(create(lambda x: client(x, region_name), self.properties, self.about) or {})
                except Exception as e:      # what CloudFormation reports as CREATE_FAILED
                    raise ValidationError(message=f"{t} {kw.get('LogicalId')}: {e}")
            return self

        @classmethod
        def update_from_cloudformation_json(cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name):
            original_resource.delete(account_id, region_name)
            return cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, account_id, region_name)

        def delete(self, account_id, region_name):
            remove = backing.BACK.get(t, (None, None))[1]
            if remove:
                remove(lambda x: client(x, region_name), self.properties, self.about)

        def is_created(self):
            return True

        def get_cfn_attribute(self, name):
            if name not in self.attributes:
                raise UnformattedGetAttTemplateException()
            return self.attributes[name]

        @property
        def physical_resource_id(self):
            if "__ref__" in self.attributes:
                return self.attributes["__ref__"]
            if t in REF_ATTRIBUTE:
                return self.attributes[REF_ATTRIBUTE[t]]
            return self.attributes.get(key, self.properties.get(key, self.about["name"]))

        @property
        def type(self):
            return t

    Generated.__name__ = t.replace("::", "_")
    return Generated


def install():
    if getattr(parsing, "_generated", False):
        return
    parsing._generated = True
    own = set(parsing.get_model_map())
    original_class, original_name = parsing.resource_class_from_type, parsing.resource_name_property_from_type

    def resource_class_from_type(t):
        if t in own and t not in backing.BACK:
            return original_class(t)
        if t not in _models:
            _models[t] = model(t)
        return _models[t]

    def resource_name_property_from_type(t):
        if t in own and t not in backing.BACK:
            return original_name(t)
        return resource_class_from_type(t).cloudformation_name_type()

    parsing.resource_class_from_type = resource_class_from_type
    parsing.resource_name_property_from_type = resource_name_property_from_type
