using System.Text.Json;
using System.Text.Json.Serialization;

namespace Calico.Core.Cni;

// The network configuration as it is spelled in JSON: only the keys that mean something on Linux. Types are as strict
// as Calico's own (assign_ipv4 is a string), so that a configuration that works here works there.

internal sealed class ConfigDto
{
    public string? CniVersion { get; set; }
    public string? Name { get; set; }
    public string? Type { get; set; }
    public IpamDto? Ipam { get; set; }
    public int? Mtu { get; set; }
    [JsonPropertyName("num_queues")] public int? NumQueues { get; set; }
    [JsonPropertyName("nodename")] public string? NodeName { get; set; }
    [JsonPropertyName("nodename_file")] public string? NodeNameFile { get; set; }
    [JsonPropertyName("nodename_file_optional")] public bool? NodeNameFileOptional { get; set; }
    public string? Hostname { get; set; }
    [JsonPropertyName("log_level")] public string? LogLevel { get; set; }
    [JsonPropertyName("log_file_path")] public string? LogFilePath { get; set; }
    [JsonPropertyName("log_file_max_size")] public int? LogFileMaxSize { get; set; }
    [JsonPropertyName("log_file_max_age")] public int? LogFileMaxAge { get; set; }
    [JsonPropertyName("log_file_max_count")] public int? LogFileMaxCount { get; set; }
    public PolicyDto? Policy { get; set; }
    [JsonPropertyName("feature_control")] public FeatureControlDto? FeatureControl { get; set; }
    [JsonPropertyName("container_settings")] public ContainerSettingsDto? ContainerSettings { get; set; }
    [JsonPropertyName("include_default_routes")] public bool? IncludeDefaultRoutes { get; set; }
    [JsonPropertyName("device_type")] public string? DeviceType { get; set; }
    [JsonPropertyName("readiness_gates")] public List<string?>? ReadinessGates { get; set; }
    [JsonPropertyName("policy_setup_timeout_seconds")] public int? PolicySetupTimeoutSeconds { get; set; }
    [JsonPropertyName("require_mtu_file")] public bool? RequireMtuFile { get; set; }
    [JsonPropertyName("node_socket")] public string? NodeSocket { get; set; }
    public ArgsDto? Args { get; set; }
    public RuntimeConfigDto? RuntimeConfig { get; set; }
    public JsonElement? PrevResult { get; set; }
    [JsonPropertyName("cni.dev/valid-attachments")] public List<AttachmentDto?>? ValidAttachments { get; set; }
}

internal sealed class IpamDto
{
    public string? Type { get; set; }
    [JsonPropertyName("assign_ipv4")] public string? AssignIpv4 { get; set; }
    [JsonPropertyName("assign_ipv6")] public string? AssignIpv6 { get; set; }
    [JsonPropertyName("ipv4_pools")] public List<string?>? Ipv4Pools { get; set; }
    [JsonPropertyName("ipv6_pools")] public List<string?>? Ipv6Pools { get; set; }
}

internal sealed class PolicyDto
{
    public string? Type { get; set; }
}

internal sealed class FeatureControlDto
{
    [JsonPropertyName("ip_addrs_no_ipam")] public bool? IpAddrsNoIpam { get; set; }
    [JsonPropertyName("floating_ips")] public bool? FloatingIps { get; set; }
}

internal sealed class ContainerSettingsDto
{
    [JsonPropertyName("allow_ip_forwarding")] public bool? AllowIpForwarding { get; set; }
}

internal sealed class ArgsDto
{
    public CniArgsDto? Cni { get; set; }
    [JsonPropertyName("org.apache.mesos")] public MesosDto? Mesos { get; set; }
}

internal sealed class CniArgsDto
{
    public List<LabelDto?>? Labels { get; set; }
}

internal sealed class MesosDto
{
    [JsonPropertyName("network_info")] public NetworkInfoDto? NetworkInfo { get; set; }
}

internal sealed class NetworkInfoDto
{
    public LabelsDto? Labels { get; set; }
}

internal sealed class LabelsDto
{
    public List<LabelDto?>? Labels { get; set; }
}

internal sealed class LabelDto
{
    public string? Key { get; set; }
    public string? Value { get; set; }
}

internal sealed class RuntimeConfigDto
{
    public DnsDto? Dns { get; set; }
    public List<PortMappingDto?>? PortMappings { get; set; }
}

internal sealed class PortMappingDto
{
    public int? HostPort { get; set; }
    public int? ContainerPort { get; set; }
    public string? Protocol { get; set; }
    [JsonPropertyName("hostIP")] public string? HostIp { get; set; }
}

internal sealed class AttachmentDto
{
    public string? ContainerID { get; set; }
    public string? Ifname { get; set; }
}

/// <summary>The serializers, made at build time: no reflection. Unknown keys are ignored, case does not matter.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, PropertyNameCaseInsensitive = true,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(ConfigDto))]
[JsonSerializable(typeof(ResultDto))]
internal sealed partial class CniJsonContext : JsonSerializerContext;
