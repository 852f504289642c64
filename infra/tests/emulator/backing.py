"""How the types that moto's CloudFormation lacks are created in moto's services.

BACK maps a type to (create, delete). create(client factory, properties, about)
may answer attributes; "__ref__" is what Ref answers. RECORDED holds the types
for which moto has no service at all: their properties are checked against the
schema and recorded (emulator.DEPLOYED), nothing more.
"""
import hashlib
import json

RECORDED = {
    "AWS::SES::ConfigurationSetEventDestination": "moto's SES v2 knows no event destinations",
    "AWS::CloudWatch::CompositeAlarm": "moto has no PutCompositeAlarm",
    "AWS::Logs::QueryDefinition": "moto has no PutQueryDefinition",
    "AWS::AccessAnalyzer::Analyzer": "moto has no Access Analyzer",
    "AWS::ElastiCache::ParameterGroup": "moto has no CreateCacheParameterGroup",
    "AWS::ElastiCache::UserGroup": "moto has no CreateUserGroup",
}


def pick(p, *names):
    return {n: p[n] for n in names if p.get(n) is not None}


def camel(o):
    """CloudFormation's PascalCase names as an API's camelCase ones."""
    if isinstance(o, dict):
        return {k[:1].lower() + k[1:]: camel(v) for k, v in o.items()}
    return [camel(x) for x in o] if isinstance(o, list) else o


def number(o):
    """Template strings that hold numbers and booleans, as an SDK wants them."""
    if isinstance(o, dict):
        return {k: number(v) for k, v in o.items()}
    if isinstance(o, list):
        return [number(x) for x in o]
    if isinstance(o, str) and o in ("true", "false"):
        return o == "true"
    if isinstance(o, str) and o.isdigit():
        return int(o)
    return o


# ---- KMS --------------------------------------------------------------------

def key(c, p, r):
    tags = [{"TagKey": t["Key"], "TagValue": t["Value"]} for t in p.get("Tags") or []]
    k = c("kms").create_key(Policy=json.dumps(p["KeyPolicy"]), Tags=tags, **pick(p, "Description", "KeySpec", "KeyUsage"))["KeyMetadata"]
    if number(p.get("EnableKeyRotation")):
        c("kms").enable_key_rotation(KeyId=k["KeyId"])
    r["id"] = k["KeyId"]
    return {"Arn": k["Arn"], "KeyId": k["KeyId"], "__ref__": k["KeyId"]}


# ---- S3 ---------------------------------------------------------------------

def bucket(c, p, r):
    s3, name = c("s3"), r["name"]
    kw = {"CreateBucketConfiguration": {"LocationConstraint": r["region"]}}
    ownership = [x["ObjectOwnership"] for x in (p.get("OwnershipControls") or {}).get("Rules", [])]
    if ownership:
        kw["ObjectOwnership"] = ownership[0]
    s3.create_bucket(Bucket=name, **kw)
    if p.get("VersioningConfiguration"):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=p["VersioningConfiguration"])
    if p.get("PublicAccessBlockConfiguration"):
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=number(p["PublicAccessBlockConfiguration"]))
    if p.get("BucketEncryption"):
        rules = [{"ApplyServerSideEncryptionByDefault": x["ServerSideEncryptionByDefault"], "BucketKeyEnabled": bool(number(x.get("BucketKeyEnabled")))}
                 for x in p["BucketEncryption"]["ServerSideEncryptionConfiguration"]]
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
    if p.get("LifecycleConfiguration"):
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule(x) for x in p["LifecycleConfiguration"]["Rules"]]})
    if p.get("Tags"):
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": p["Tags"]})
    return {"Arn": f"arn:aws:s3:::{name}", "DomainName": f"{name}.s3.amazonaws.com",
            "RegionalDomainName": f"{name}.s3.{r['region']}.amazonaws.com", "__ref__": name}


def rule(x):
    out = {"ID": x["Id"], "Status": x["Status"], "Filter": {"Prefix": x.get("Prefix", "")}, **number(pick(x, "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"))}
    if x.get("ExpirationInDays"):
        out["Expiration"] = {"Days": int(x["ExpirationInDays"])}
    if x.get("Transitions"):
        out["Transitions"] = [{"Days": int(t["TransitionInDays"]), "StorageClass": t["StorageClass"]} for t in x["Transitions"]]
    return out


# ---- SES --------------------------------------------------------------------

def ses_identity(c, p, r):
    name = p["EmailIdentity"]
    kw = {"EmailIdentity": name, **pick(p, "DkimSigningAttributes", "Tags")}
    chosen = (p.get("ConfigurationSetAttributes") or {}).get("ConfigurationSetName")
    if chosen:
        kw["ConfigurationSetName"] = chosen
        c("sesv2").get_configuration_set(ConfigurationSetName=chosen)     # must exist first
    if name in [i["IdentityName"] for i in c("sesv2").list_email_identities()["EmailIdentities"]]:
        raise ValueError(f"{name} already exists")
    c("sesv2").create_email_identity(**kw)
    out = {}
    for i in (1, 2, 3):
        token = hashlib.sha256(f"{name}/{i}".encode()).hexdigest()[:32]
        out[f"DkimDNSTokenName{i}"] = f"{token}._domainkey.{name}"
        out[f"DkimDNSTokenValue{i}"] = f"{token}.dkim.amazonses.com"
    return out


def ses_set(c, p, r):
    c("sesv2").create_configuration_set(ConfigurationSetName=r["name"], **number(pick(
        p, "TrackingOptions", "DeliveryOptions", "ReputationOptions", "SendingOptions", "SuppressionOptions", "VdmOptions", "Tags")))


# ---- IAM --------------------------------------------------------------------

def group(c, p, r):
    iam, name = c("iam"), r["name"]
    arn = iam.create_group(GroupName=name, **pick(p, "Path"))["Group"]["Arn"]
    for m in p.get("ManagedPolicyArns") or []:
        iam.attach_group_policy(GroupName=name, PolicyArn=m)
    for q in p.get("Policies") or []:
        iam.put_group_policy(GroupName=name, PolicyName=q["PolicyName"], PolicyDocument=json.dumps(q["PolicyDocument"]))
    return {"Arn": arn}


def ungroup(c, p, r):
    iam, name = c("iam"), r["name"]
    for u in iam.get_group(GroupName=name)["Users"]:
        iam.remove_user_from_group(GroupName=name, UserName=u["UserName"])
    for m in iam.list_attached_group_policies(GroupName=name)["AttachedPolicies"]:
        iam.detach_group_policy(GroupName=name, PolicyArn=m["PolicyArn"])
    for n in iam.list_group_policies(GroupName=name)["PolicyNames"]:
        iam.delete_group_policy(GroupName=name, PolicyName=n)
    iam.delete_group(GroupName=name)


def managed_policy(c, p, r):
    text = json.dumps(p["PolicyDocument"])
    if len("".join(text.split())) > 6144:
        raise ValueError(f"LimitExceeded: Cannot exceed quota for PolicySize: 6144, has {len(''.join(text.split()))}")
    arn = c("iam").create_policy(PolicyName=r["name"], PolicyDocument=text, **pick(p, "Description", "Path"))["Policy"]["Arn"]
    r["arn"] = arn
    return {"PolicyArn": arn, "__ref__": arn}


def user(c, p, r):
    iam, name = c("iam"), r["name"]
    arn = iam.create_user(UserName=name, **pick(p, "Path", "Tags"))["User"]["Arn"]
    for g in p.get("Groups") or []:
        iam.add_user_to_group(GroupName=g, UserName=name)
    for m in p.get("ManagedPolicyArns") or []:
        iam.attach_user_policy(UserName=name, PolicyArn=m)
    return {"Arn": arn}


def unuser(c, p, r):
    iam, name = c("iam"), r["name"]
    for g in iam.list_groups_for_user(UserName=name)["Groups"]:
        iam.remove_user_from_group(GroupName=g["GroupName"], UserName=name)
    for m in iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]:
        iam.detach_user_policy(UserName=name, PolicyArn=m["PolicyArn"])
    iam.delete_user(UserName=name)


# ---- logs, metrics, topics, trail -------------------------------------------

def log_group(c, p, r):
    logs, name = c("logs"), r["name"]
    logs.create_log_group(logGroupName=name, **({"kmsKeyId": p["KmsKeyId"]} if p.get("KmsKeyId") else {}), tags={t["Key"]: t["Value"] for t in p.get("Tags") or []})
    if p.get("RetentionInDays"):
        logs.put_retention_policy(logGroupName=name, retentionInDays=int(p["RetentionInDays"]))
    return {"Arn": f"arn:aws:logs:{r['region']}:{r['account']}:log-group:{name}:*", "__ref__": name}      # AWS has the ":*", moto has not


def metric_filter(c, p, r):
    transformations = []
    for t in p["MetricTransformations"]:
        t = {**camel(t), "metricValue": str(t["MetricValue"])}
        t.pop("dimensions", None)
        if "defaultValue" in t:
            t["defaultValue"] = float(t["defaultValue"])
        transformations.append(t)
    groups = [g["logGroupName"] for g in c("logs").describe_log_groups(logGroupNamePrefix=p["LogGroupName"])["logGroups"]]
    if p["LogGroupName"] not in groups:
        raise ValueError("The specified log group does not exist: " + p["LogGroupName"])
    c("logs").put_metric_filter(logGroupName=p["LogGroupName"], filterName=r["name"], filterPattern=p["FilterPattern"], metricTransformations=transformations)


def alarm(c, p, r):
    kw = {k: v for k, v in p.items() if k not in ("AlarmName", "Tags")}
    for k in ("Period", "EvaluationPeriods", "DatapointsToAlarm"):
        if k in kw:
            kw[k] = int(kw[k])
    if "Threshold" in kw:
        kw["Threshold"] = float(kw["Threshold"])
    for m in kw.get("Metrics") or []:
        if "MetricStat" in m:
            m["MetricStat"]["Period"] = int(m["MetricStat"]["Period"])
        if "ReturnData" in m:
            m["ReturnData"] = str(m["ReturnData"]).lower() == "true"
    c("cloudwatch").put_metric_alarm(AlarmName=r["name"], **kw)
    return {"Arn": f"arn:aws:cloudwatch:{r['region']}:{r['account']}:alarm:{r['name']}"}


def subscription(c, p, r):
    arn = c("sns").subscribe(TopicArn=p["TopicArn"], Protocol=p["Protocol"], Endpoint=p.get("Endpoint", ""), ReturnSubscriptionArn=True)["SubscriptionArn"]
    return {"Arn": arn, "__ref__": arn}


def topic_policy(c, p, r):
    for t in p["Topics"]:
        c("sns").set_topic_attributes(TopicArn=t, AttributeName="Policy", AttributeValue=json.dumps(p["PolicyDocument"]))


def trail(c, p, r):
    kw = number(pick(p, "S3BucketName", "S3KeyPrefix", "IsMultiRegionTrail", "IncludeGlobalServiceEvents", "EnableLogFileValidation",
                     "CloudWatchLogsLogGroupArn", "CloudWatchLogsRoleArn", "SnsTopicName"))
    a = c("cloudtrail").create_trail(Name=r["name"], **kw)
    if p.get("IsLogging"):
        c("cloudtrail").start_logging(Name=r["name"])
    return {"Arn": a["TrailARN"], "__ref__": r["name"]}


def firehose(c, p, r):
    kw = pick(p, "DeliveryStreamType", "ExtendedS3DestinationConfiguration")
    arn = c("firehose").create_delivery_stream(DeliveryStreamName=r["name"], **kw, **pick(p, "Tags"))["DeliveryStreamARN"]
    return {"Arn": arn}


# ---- scaling, cache, secrets, network ---------------------------------------

def scalable(c, p, r):
    kw = pick(p, "ServiceNamespace", "ResourceId", "ScalableDimension", "RoleARN")
    c("application-autoscaling").register_scalable_target(MinCapacity=int(p["MinCapacity"]), MaxCapacity=int(p["MaxCapacity"]), **kw)
    return {"Id": "|".join([p["ResourceId"], p["ScalableDimension"], p["ServiceNamespace"]])}


def scaling(c, p, r):
    rid, dimension, namespace = p["ScalingTargetId"].split("|")
    arn = c("application-autoscaling").put_scaling_policy(
        PolicyName=p["PolicyName"], PolicyType=p["PolicyType"], ServiceNamespace=namespace, ResourceId=rid, ScalableDimension=dimension,
        **number(pick(p, "TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration")))["PolicyARN"]
    return {"Arn": arn}


def unscalable(c, p, r):
    c("application-autoscaling").deregister_scalable_target(**pick(p, "ServiceNamespace", "ResourceId", "ScalableDimension"))


def unscaling(c, p, r):
    rid, dimension, namespace = p["ScalingTargetId"].split("|")
    c("application-autoscaling").delete_scaling_policy(PolicyName=p["PolicyName"], ServiceNamespace=namespace, ResourceId=rid, ScalableDimension=dimension)


def replication_group(c, p, r):
    kw = pick(p, "ReplicationGroupDescription", "AutomaticFailoverEnabled", "MultiAZEnabled", "NumCacheClusters", "NumNodeGroups", "ReplicasPerNodeGroup",
              "CacheNodeType", "Engine", "EngineVersion", "CacheSubnetGroupName", "SecurityGroupIds", "TransitEncryptionEnabled", "AtRestEncryptionEnabled", "KmsKeyId", "Port")
    kw = {k: (str(v) if k in ("EngineVersion", "KmsKeyId") else number(v)) for k, v in kw.items()}
    c("elasticache").create_replication_group(ReplicationGroupId=r["name"], **kw)
    host = f"master.{r['name']}.abc123.apne1.cache.amazonaws.com"
    return {"PrimaryEndPoint.Address": host, "PrimaryEndPoint.Port": "6379",
            "ReaderEndPoint.Address": "replica" + host[6:], "ReaderEndPoint.Port": "6379"}


def cache_user(c, p, r):
    kw = pick(p, "UserId", "UserName", "Engine", "AccessString", "Passwords")
    if any("{{resolve:" in x for x in kw.get("Passwords") or []):
        kw["Passwords"] = ["resolved-by-cloudformation"]
    kw["Engine"] = "redis"                  # the only one that moto's CreateUser takes
    c("elasticache").create_user(**kw, NoPasswordRequired=bool(p.get("NoPasswordRequired")))
    return {"Arn": f"arn:aws:elasticache:{r['region']}:{r['account']}:user:{p['UserId']}", "Status": "active"}


def secret(c, p, r):
    sm, text = c("secretsmanager"), p.get("SecretString")
    g = p.get("GenerateSecretString")
    if text is None and g:
        password = sm.get_random_password(**number(pick(g, "PasswordLength", "ExcludePunctuation", "ExcludeCharacters")))["RandomPassword"]
        text = password if not g.get("GenerateStringKey") else json.dumps({**json.loads(g.get("SecretStringTemplate") or "{}"), g["GenerateStringKey"]: password})
    arn = sm.create_secret(Name=r["name"], SecretString=text or "", **pick(p, "Description", "KmsKeyId", "Tags"))["ARN"]
    return {"Id": arn, "__ref__": arn}


def egress(c, p, r):
    rule = {"IpProtocol": str(p["IpProtocol"]), **number(pick(p, "FromPort", "ToPort"))}
    if p.get("CidrIp"):
        rule["IpRanges"] = [{"CidrIp": p["CidrIp"]}]
    if p.get("DestinationSecurityGroupId"):
        rule["UserIdGroupPairs"] = [{"GroupId": p["DestinationSecurityGroupId"]}]
    c("ec2").authorize_security_group_egress(GroupId=p["GroupId"], IpPermissions=[rule])
    r["rule"] = rule


def load_balancer(c, p, r):
    kw = pick(p, "Subnets", "SecurityGroups", "Scheme", "Type", "Tags")
    x = c("elbv2").create_load_balancer(Name=r["name"], **kw)["LoadBalancers"][0]
    if p.get("LoadBalancerAttributes"):
        c("elbv2").modify_load_balancer_attributes(LoadBalancerArn=x["LoadBalancerArn"], Attributes=p["LoadBalancerAttributes"])
    r["arn"] = x["LoadBalancerArn"]
    return {"LoadBalancerArn": r["arn"], "DNSName": x["DNSName"], "LoadBalancerFullName": r["arn"].split("loadbalancer/")[1],
            "CanonicalHostedZoneID": "Z31USIVHYNEOWT", "LoadBalancerName": r["name"], "SecurityGroups": p.get("SecurityGroups", []), "__ref__": r["arn"]}


def unload_balancer(c, p, r):
    attributes = c("elbv2").describe_load_balancer_attributes(LoadBalancerArn=r["arn"])["Attributes"]
    if {"Key": "deletion_protection.enabled", "Value": "true"} in attributes:
        raise ValueError("OperationNotPermitted: deletion protection is enabled")      # moto does not look
    c("elbv2").delete_load_balancer(LoadBalancerArn=r["arn"])


def target_group(c, p, r):
    kw = number(pick(p, "Protocol", "Port", "VpcId", "TargetType", "HealthCheckProtocol", "HealthCheckPath", "HealthCheckIntervalSeconds",
                     "HealthCheckTimeoutSeconds", "HealthyThresholdCount", "UnhealthyThresholdCount"))
    if p.get("Matcher"):
        kw["Matcher"] = {"HttpCode": str(p["Matcher"]["HttpCode"])}
    x = c("elbv2").create_target_group(Name=r["name"][-32:].lstrip("-"), **kw)["TargetGroups"][0]
    c("elbv2").modify_target_group_attributes(TargetGroupArn=x["TargetGroupArn"], Attributes=p.get("TargetGroupAttributes") or [])
    r["arn"] = x["TargetGroupArn"]
    return {"TargetGroupArn": r["arn"], "TargetGroupFullName": r["arn"].split(":")[-1], "TargetGroupName": x["TargetGroupName"], "LoadBalancerArns": [], "__ref__": r["arn"]}


def listener(c, p, r):
    r["arn"] = c("elbv2").create_listener(LoadBalancerArn=p["LoadBalancerArn"], Protocol=p["Protocol"], Port=int(p["Port"]), DefaultActions=p["DefaultActions"])["Listeners"][0]["ListenerArn"]
    return {"ListenerArn": r["arn"], "__ref__": r["arn"]}


def route_table(c, p, r):
    r["id"] = c("ec2").create_route_table(VpcId=p["VpcId"])["RouteTable"]["RouteTableId"]
    return {"RouteTableId": r["id"], "__ref__": r["id"]}


def association(c, p, r):
    r["id"] = c("ec2").associate_route_table(SubnetId=p["SubnetId"], RouteTableId=p["RouteTableId"])["AssociationId"]
    return {"Id": r["id"], "__ref__": r["id"]}


def cluster(c, p, r):
    arn = c("ecs").create_cluster(clusterName=r["name"], settings=camel(p.get("ClusterSettings") or []), tags=camel(p.get("Tags") or []))["cluster"]["clusterArn"]
    return {"Arn": arn, "__ref__": r["name"]}


def transit_attachment(c, p, r):
    x = c("ec2").create_transit_gateway_vpc_attachment(**pick(p, "TransitGatewayId", "VpcId", "SubnetIds"))["TransitGatewayVpcAttachment"]
    r["id"] = x["TransitGatewayAttachmentId"]
    return {"Id": r["id"], "__ref__": r["id"]}


BACK = {
    "AWS::EC2::TransitGatewayAttachment": (transit_attachment, lambda c, p, r: c("ec2").delete_transit_gateway_vpc_attachment(TransitGatewayAttachmentId=r["id"])),
    "AWS::EC2::RouteTable": (route_table, lambda c, p, r: c("ec2").delete_route_table(RouteTableId=r["id"])),
    "AWS::EC2::SubnetRouteTableAssociation": (association, lambda c, p, r: c("ec2").disassociate_route_table(AssociationId=r["id"])),
    "AWS::ECS::Cluster": (cluster, lambda c, p, r: c("ecs").delete_cluster(cluster=r["name"])),
    "AWS::ElasticLoadBalancingV2::Listener": (listener, lambda c, p, r: c("elbv2").delete_listener(ListenerArn=r["arn"])),
    "AWS::EC2::SecurityGroupEgress": (egress, lambda c, p, r: c("ec2").revoke_security_group_egress(GroupId=p["GroupId"], IpPermissions=[r["rule"]])),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (load_balancer, unload_balancer),
    "AWS::ElasticLoadBalancingV2::TargetGroup": (target_group, lambda c, p, r: c("elbv2").delete_target_group(TargetGroupArn=r["arn"])),
    "AWS::S3::Bucket": (bucket, lambda c, p, r: c("s3").delete_bucket(Bucket=r["name"])),
    "AWS::KMS::Key": (key, lambda c, p, r: c("kms").schedule_key_deletion(KeyId=r["id"], PendingWindowInDays=7)),
    "AWS::SES::EmailIdentity": (ses_identity, lambda c, p, r: c("sesv2").delete_email_identity(EmailIdentity=p["EmailIdentity"])),
    "AWS::SES::ConfigurationSet": (ses_set, lambda c, p, r: c("sesv2").delete_configuration_set(ConfigurationSetName=r["name"])),
    "AWS::KinesisFirehose::DeliveryStream": (firehose, lambda c, p, r: c("firehose").delete_delivery_stream(DeliveryStreamName=r["name"])),
    "AWS::S3::BucketPolicy": (lambda c, p, r: c("s3").put_bucket_policy(Bucket=p["Bucket"], Policy=json.dumps(p["PolicyDocument"])) and None,
                              lambda c, p, r: c("s3").delete_bucket_policy(Bucket=p["Bucket"])),
    "AWS::Logs::LogGroup": (log_group, lambda c, p, r: c("logs").delete_log_group(logGroupName=r["name"])),
    "AWS::Logs::LogStream": (lambda c, p, r: c("logs").create_log_stream(logGroupName=p["LogGroupName"], logStreamName=r["name"]) and None, None),
    "AWS::Logs::MetricFilter": (metric_filter, lambda c, p, r: c("logs").delete_metric_filter(logGroupName=p["LogGroupName"], filterName=r["name"])),
    "AWS::CloudWatch::Alarm": (alarm, lambda c, p, r: c("cloudwatch").delete_alarms(AlarmNames=[r["name"]])),
    "AWS::SNS::Subscription": (subscription, None),
    "AWS::SNS::TopicPolicy": (topic_policy, None),
    "AWS::CloudTrail::Trail": (trail, lambda c, p, r: c("cloudtrail").delete_trail(Name=r["name"])),
    "AWS::IAM::ManagedPolicy": (managed_policy, lambda c, p, r: c("iam").delete_policy(PolicyArn=r["arn"])),
    "AWS::IAM::Group": (group, ungroup),
    "AWS::IAM::User": (user, unuser),
    "AWS::ApplicationAutoScaling::ScalableTarget": (scalable, unscalable),
    "AWS::ApplicationAutoScaling::ScalingPolicy": (scaling, unscaling),
    "AWS::ElastiCache::SubnetGroup": (
        lambda c, p, r: c("elasticache").create_cache_subnet_group(CacheSubnetGroupName=r["name"], CacheSubnetGroupDescription=p["Description"], SubnetIds=p["SubnetIds"]) and None, None),
    "AWS::ElastiCache::ReplicationGroup": (replication_group, lambda c, p, r: c("elasticache").delete_replication_group(ReplicationGroupId=r["name"])),
    "AWS::ElastiCache::User": (cache_user, lambda c, p, r: c("elasticache").delete_user(UserId=p["UserId"])),
    "AWS::SecretsManager::Secret": (secret, lambda c, p, r: c("secretsmanager").delete_secret(SecretId=r["name"], ForceDeleteWithoutRecovery=True)),
}
