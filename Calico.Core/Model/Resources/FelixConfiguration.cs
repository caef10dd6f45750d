using System.Text.Json.Serialization;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Resources;

/// <summary>
/// Options of the node agent: <c>default</c> for the cluster, <c>node.NAME</c> for one node, any other name for the nodes
/// of a selector. Each field mirrors the FELIX_ variable and the parameter of the same name.
/// </summary>
public sealed record FelixConfiguration() : Resource(ResourceKind.FelixConfiguration)
{
    public FelixConfigurationSpec Spec { get; init => field = value ?? new(); } = new();
}

/// <summary>A field that is absent leaves the parameter to the next source; an empty list is a value.</summary>
[WholeMilliseconds]
public sealed record FelixConfigurationSpec : ModelObject
{
    [MaxLength(1024)]
    [Format(FieldFormat.Selector)]
    public string? NodeSelector { get; init; }

    public bool? UseInternalDataplaneDriver { get; init; }
    public string? DataplaneDriver { get; init; }
    public GoDuration? DataplaneWatchdogTimeout { get; init; }
    public bool? Ipv6Support { get; init; }
    public GoDuration? RouteRefreshInterval { get; init; }
    public GoDuration? InterfaceRefreshInterval { get; init; }
    public GoDuration? IptablesRefreshInterval { get; init; }
    public GoDuration? IptablesPostWriteCheckInterval { get; init; }
    public GoDuration? IptablesLockProbeInterval { get; init; }

    [Pattern("([a-zA-Z0-9_]+=(true|false|),)*([a-zA-Z0-9_]+=(true|false|))?", "a list such as Name=true,Other=false")]
    public string? FeatureDetectOverride { get; init; }

    [Pattern("([a-zA-Z0-9_]+=[^=,]+,+)*([a-zA-Z0-9_]+=[^=,]+)?", "a list such as Name=value,Other=value")]
    public string? FeatureGates { get; init; }

    public GoDuration? IpsetsRefreshInterval { get; init; }
    public int? MaxIpsetSize { get; init; }

    [OneOf("Legacy", "NFT", "Auto")]
    public string? IptablesBackend { get; init; }

    public GoDuration? XdpRefreshInterval { get; init; }
    public GoDuration? NetlinkTimeout { get; init; }

    [Pattern("[a-zA-Z0-9_.-]+", "a host name, an IPv4 address or None")]
    public string? MetadataAddr { get; init; }

    [Between(0, 65535)]
    public int? MetadataPort { get; init; }

    public string? OpenstackRegion { get; init; }

    [Pattern("[a-zA-Z0-9_-]{1,15}(,[a-zA-Z0-9_-]{1,15})*", "a list of at most 15 letters, digits, '_' and '-' each, such as cali,tap")]
    public string? InterfacePrefix { get; init; }

    /// <summary>Names, and regular expressions between slashes, separated by commas.</summary>
    public string? InterfaceExclude { get; init; }

    [Pattern("(?i)(Insert|Append)?", "one of Insert, Append")]
    public string? ChainInsertMode { get; init; }

    [Pattern("(?i)(Drop|Accept|Return)?", "one of Drop, Accept, Return")]
    public string? DefaultEndpointToHostAction { get; init; }

    [Pattern("(?i)(Accept|Return)?", "one of Accept, Return")]
    public string? IptablesFilterAllowAction { get; init; }

    [Pattern("(?i)(Accept|Return)?", "one of Accept, Return")]
    public string? IptablesMangleAllowAction { get; init; }

    [Pattern("(?i)(Drop|Reject)?", "one of Drop, Reject")]
    public string? IptablesFilterDenyAction { get; init; }

    [Pattern("[a-zA-Z0-9%: /_-]*", "letters, digits, blanks and % : / _ -")]
    public string? LogPrefix { get; init; }

    [Pattern("[1-9][0-9]{0,3}/(second|minute|hour|day)", "a rate such as 100/minute")]
    public string? LogActionRateLimit { get; init; }

    [Between(0, 9999)]
    public int? LogActionRateLimitBurst { get; init; }

    public string? LogFilePath { get; init; }

    [Pattern("(?i)(Trace|Debug|Info|Warning|Error|Fatal)?", "one of Trace, Debug, Info, Warning, Error, Fatal")]
    public string? LogSeverityFile { get; init; }

    [Pattern("(?i)(Trace|Debug|Info|Warning|Error|Fatal)?", "one of Trace, Debug, Info, Warning, Error, Fatal")]
    public string? LogSeverityScreen { get; init; }

    [Pattern("(?i)(Trace|Debug|Info|Warning|Error|Fatal)?", "one of Trace, Debug, Info, Warning, Error, Fatal")]
    public string? LogSeveritySys { get; init; }

    [Format(FieldFormat.Regex)]
    public string? LogDebugFilenameRegex { get; init; }

    public bool? IpipEnabled { get; init; }
    public int? IpipMTU { get; init; }
    public bool? VxlanEnabled { get; init; }
    public int? VxlanMTU { get; init; }
    public int? VxlanMTUV6 { get; init; }
    public int? VxlanPort { get; init; }
    public int? VxlanVNI { get; init; }
    public bool? AllowVXLANPacketsFromWorkloads { get; init; }
    public bool? AllowIPIPPacketsFromWorkloads { get; init; }
    public GoDuration? ReportingInterval { get; init; }
    public GoDuration? ReportingTTL { get; init; }
    public bool? EndpointReportingEnabled { get; init; }
    public GoDuration? EndpointReportingDelay { get; init; }
    public string? EndpointStatusPathPrefix { get; init; }

    [Between(0, 4294967295)]
    public long? IptablesMarkMask { get; init; }

    public bool? DisableConntrackInvalidCheck { get; init; }
    public bool? HealthEnabled { get; init; }

    [Format(FieldFormat.HostAddress)]
    public string? HealthHost { get; init; }

    [Between(0, 65535)]
    public int? HealthPort { get; init; }

    public ValueList<HealthTimeoutOverride> HealthTimeoutOverrides { get; init; }
    public bool? PrometheusMetricsEnabled { get; init; }

    [Format(FieldFormat.HostAddress)]
    public string? PrometheusMetricsHost { get; init; }

    [Between(0, 65535)]
    public int? PrometheusMetricsPort { get; init; }

    public bool? PrometheusGoMetricsEnabled { get; init; }
    public bool? PrometheusProcessMetricsEnabled { get; init; }
    public bool? PrometheusWireGuardMetricsEnabled { get; init; }
    public string? PrometheusMetricsCAFile { get; init; }
    public string? PrometheusMetricsCertFile { get; init; }
    public string? PrometheusMetricsKeyFile { get; init; }

    [OneOf("RequireAndVerifyClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven", "NoClientCert")]
    public string? PrometheusMetricsClientAuth { get; init; }

    public ValueList<ProtoPort>? FailsafeInboundHostPorts { get; init; }
    public ValueList<ProtoPort>? FailsafeOutboundHostPorts { get; init; }

    [Items(7)]
    public ValueList<Port>? KubeNodePortRanges { get; init; }

    public string? PolicySyncPathPrefix { get; init; }
    public bool? UsageReportingEnabled { get; init; }
    public GoDuration? UsageReportingInitialDelay { get; init; }
    public GoDuration? UsageReportingInterval { get; init; }
    public Port? NatPortRange { get; init; }

    [MaxLength(45)]
    [Format(FieldFormat.IpV4)]
    public string? NatOutgoingAddress { get; init; }

    [OneOf("IPPoolsOnly", "IPPoolsAndHostIPs")]
    public string? NatOutgoingExclusions { get; init; }

    [MaxLength(45)]
    [Format(FieldFormat.IpV4)]
    public string? DeviceRouteSourceAddress { get; init; }

    [MaxLength(45)]
    [Format(FieldFormat.IpV6)]
    public string? DeviceRouteSourceAddressIPv6 { get; init; }

    public int? DeviceRouteProtocol { get; init; }
    public bool? RemoveExternalRoutes { get; init; }

    [OneOf("Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly")]
    public string? ProgramClusterRoutes { get; init; }

    [OneOf("Enabled", "Disabled")]
    public string? IpForwarding { get; init; }


    [Format(FieldFormat.CidrV4)]
    public ValueList<string>? ExternalNodesList { get; init; }
    public string? DebugMemoryProfilePath { get; init; }
    public bool? DebugDisableLogDropping { get; init; }
    public GoDuration? DebugSimulateCalcGraphHangAfter { get; init; }
    public GoDuration? DebugSimulateDataplaneHangAfter { get; init; }
    public GoDuration? DebugSimulateDataplaneApplyDelay { get; init; }

    [Format(FieldFormat.HostAddress)]
    public string? DebugHost { get; init; }

    [Between(0, 65535)]
    public int? DebugPort { get; init; }

    [Format(FieldFormat.InterfaceFilter)]
    public string? IptablesNATOutgoingInterfaceFilter { get; init; }

    public bool? SidecarAccelerationEnabled { get; init; }
    public bool? XdpEnabled { get; init; }
    public bool? GenericXDPEnabled { get; init; }

    [OneOf("Disabled", "Enabled", "Auto")]
    public string? NftablesMode { get; init; }

    [OneOf("All", "Disabled")]
    public string? NftablesFlowTableOffload { get; init; }

    [Format(FieldFormat.Regex)]
    public string? NftablesFlowTableDataIfacePattern { get; init; }

    public GoDuration? NftablesRefreshInterval { get; init; }

    [Pattern("(?i)(Accept|Return)?", "one of Accept, Return")]
    public string? NftablesFilterAllowAction { get; init; }

    [Pattern("(?i)(Accept|Return)?", "one of Accept, Return")]
    public string? NftablesMangleAllowAction { get; init; }

    [Pattern("(?i)(Drop|Reject)?", "one of Drop, Reject")]
    public string? NftablesFilterDenyAction { get; init; }

    [Between(0, 4294967295)]
    public long? NftablesMarkMask { get; init; }

    public bool? BpfEnabled { get; init; }

    [OneOf("TunnelAddress", "HostAddress")]
    public string? BpfOverlayHostSourceIP { get; init; }

    public bool? BpfDisableUnprivileged { get; init; }

    [OneOf("Auto", "Strict")]
    public string? BpfJITHardening { get; init; }

    [Pattern("(?i)(Off|Info|Debug)?", "one of Off, Info, Debug")]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? BpfLogLevel { get; init; }

    [OneOf("Off", "Debug")]
    public string? BpfConntrackLogLevel { get; init; }

    [OneOf("Auto", "Userspace", "BPFProgram")]
    public string? BpfConntrackMode { get; init; }

    public BpfConntrackTimeouts? BpfConntrackTimeouts { get; init; }
    public GoDuration? BpfIPFragTimeout { get; init; }
    public StringMap? BpfLogFilters { get; init; }
    public string? BpfCTLBLogFilter { get; init; }

    [Format(FieldFormat.Regex)]
    public string? BpfDataIfacePattern { get; init; }

    [Format(FieldFormat.Regex)]
    public string? BpfL3IfacePattern { get; init; }

    public bool? BpfConnectTimeLoadBalancingEnabled { get; init; }

    [OneOf("TCP", "Enabled", "Disabled")]
    public string? BpfConnectTimeLoadBalancing { get; init; }

    [OneOf("Enabled", "Disabled")]
    public string? BpfHostNetworkedNATWithoutCTLB { get; init; }

    [Pattern("(?i)(Tunnel|DSR)?", "one of Tunnel, DSR")]
    public string? BpfExternalServiceMode { get; init; }

    [Format(FieldFormat.Cidr)]
    public ValueList<string>? BpfDSROptoutCIDRs { get; init; }

    [Between(0, 4294967295)]
    public long? BpfExtToServiceConnmark { get; init; }

    public bool? BpfKubeProxyIptablesCleanupEnabled { get; init; }
    public GoDuration? BpfKubeProxyMinSyncPeriod { get; init; }

    [Between(0, 65535)]
    public int? BpfKubeProxyHealthzPort { get; init; }

    public Port? BpfPSNATPorts { get; init; }
    public int? BpfMapSizeNATFrontend { get; init; }
    public int? BpfMapSizeNATBackend { get; init; }
    public int? BpfMapSizeNATAffinity { get; init; }
    public int? BpfMapSizeRoute { get; init; }
    public int? BpfMapSizeConntrack { get; init; }
    public int? BpfMapSizePerCpuConntrack { get; init; }

    [Pattern("(?i)(Disabled|DoubleIfFull)?", "one of Disabled, DoubleIfFull")]
    public string? BpfMapSizeConntrackScaling { get; init; }

    [Between(1, int.MaxValue)]
    public int? BpfMapSizeConntrackCleanupQueue { get; init; }

    public int? BpfMapSizeIPSets { get; init; }
    public int? BpfMapSizeIfState { get; init; }
    public bool? BpfHostConntrackBypass { get; init; }
    public bool? BpfIPFragmentReassemblyEnabled { get; init; }

    [Pattern("(?i)(Disabled|Strict|Loose)?", "one of Disabled, Strict, Loose")]
    public string? BpfEnforceRPF { get; init; }

    public bool? BpfPolicyDebugEnabled { get; init; }

    [Format(FieldFormat.InterfaceFilter)]
    public ValueList<string>? BpfForceTrackPacketsFromIfaces { get; init; }

    [Format(FieldFormat.Regex)]
    public string? BpfDisableGROForIfaces { get; init; }

    [Format(FieldFormat.Cidr)]
    public ValueList<string>? BpfExcludeCIDRsFromNAT { get; init; }

    public int? BpfExportBufferSizeMB { get; init; }

    [OneOf("Enabled", "Disabled")]
    public string? IstioAmbientMode { get; init; }

    public IntOrString? IstioDSCPMark { get; init; }
    public string? CgroupV2Path { get; init; }

    [OneOf("None", "Continuous")]
    public string? FlowLogsPolicyEvaluationMode { get; init; }

    [OneOf("Enabled", "Disabled")]
    public string? BpfRedirectToPeer { get; init; }

    [OneOf("TC", "TCX", "Netkit")]
    public string? BpfAttachType { get; init; }

    public GoDuration? FlowLogsFlushInterval { get; init; }
    public bool? FlowLogsCollectorDebugTrace { get; init; }
    public string? FlowLogsGoldmaneServer { get; init; }

    [OneOf("Disabled", "Enabled")]
    public string? FlowLogsLocalReporter { get; init; }

    [OneOf("Enabled", "Disabled")]
    public string? BpfProfiling { get; init; }

    [Pattern("(?i)(WorkloadIPs|CalicoIPAM)?", "one of WorkloadIPs, CalicoIPAM")]
    public string? RouteSource { get; init; }

    public ValueList<RouteTableIDRange>? RouteTableRanges { get; init; }
    public RouteTableRange? RouteTableRange { get; init; }
    public bool? RouteSyncDisabled { get; init; }

    [Between(1, 2147483646)]
    public int? Ipv4NormalRoutePriority { get; init; }

    [Between(1, 2147483646)]
    public int? Ipv4ElevatedRoutePriority { get; init; }

    [Between(1, 2147483646)]
    public int? Ipv6NormalRoutePriority { get; init; }

    [Between(1, 2147483646)]
    public int? Ipv6ElevatedRoutePriority { get; init; }

    public GoDuration? LiveMigrationRouteConvergenceTime { get; init; }
    public bool? WireguardEnabled { get; init; }
    public bool? WireguardEnabledV6 { get; init; }
    public bool? WireguardThreadingEnabled { get; init; }

    [Between(1, 65535)]
    public int? WireguardListeningPort { get; init; }

    [Between(1, 65535)]
    public int? WireguardListeningPortV6 { get; init; }

    [Between(1, 32765)]
    public int? WireguardRoutingRulePriority { get; init; }

    [Format(FieldFormat.Interface)]
    public string? WireguardInterfaceName { get; init; }

    [Format(FieldFormat.Interface)]
    public string? WireguardInterfaceNameV6 { get; init; }

    public int? WireguardMTU { get; init; }
    public int? WireguardMTUV6 { get; init; }
    public bool? WireguardHostEncryptionEnabled { get; init; }
    public GoDuration? WireguardKeepAlive { get; init; }

    [OneOf("DoNothing", "Enable", "Disable")]
    public string? AwsSrcDstCheck { get; init; }

    [OneOf("Drop", "Reject", "Disabled")]
    public string? ServiceLoopPrevention { get; init; }

    [OneOf("Disabled", "Any")]
    public string? WorkloadSourceSpoofing { get; init; }

    [Format(FieldFormat.Regex)]
    public string? MtuIfacePattern { get; init; }

    [OneOf("Enabled", "Disabled")]
    public string? FloatingIPs { get; init; }

    [OneOf("Disabled", "PodsAndLoadBalancers")]
    public string? LocalSubnetL2Reachability { get; init; }

    public GoDuration? LocalSubnetL2ReachabilityRefreshInterval { get; init; }

    [OneOf("Enabled", "Disabled")]
    public string? WindowsManageFirewallRules { get; init; }

    [Between(-1, int.MaxValue)]
    public int? GoGCThreshold { get; init; }

    [Between(-1, int.MaxValue)]
    public int? GoMemoryLimitMB { get; init; }

    [Between(-1, int.MaxValue)]
    public int? GoMaxProcs { get; init; }

    public bool? RequireMTUFile { get; init; }

    [Between(1, 3000)]
    public int? BpfMaglevMaxEndpointsPerService { get; init; }

    [Between(1, 3000)]
    public int? BpfMaglevMaxServices { get; init; }
}

/// <summary>A port that stays open whatever policy says, towards all addresses or one network.</summary>
public sealed record ProtoPort : ModelObject
{
    public string? Protocol { get; init; }

    [RequiredField]
    [Between(0, 65535)]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public int Port { get; init; }

    [Format(FieldFormat.Cidr)]
    public string? Net { get; init; }
}

/// <summary>Replaces the health timeout of one component of the agent.</summary>
public sealed record HealthTimeoutOverride : ModelObject
{
    [RequiredField]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Name { get; init; }

    [RequiredField]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public GoDuration Timeout { get; init; }
}

/// <summary>Kernel routing tables from 1 to 250 (older form).</summary>
public sealed record RouteTableRange : ModelObject
{
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public int Min { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public int Max { get; init; }
}

/// <summary>Kernel routing tables; the kernel's own 253 to 255 are left out of a range.</summary>
public sealed record RouteTableIDRange : ModelObject
{
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public long Min { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public long Max { get; init; }
}

/// <summary>Timeouts of the eBPF connection table: a duration, or Auto for the kernel's value.</summary>
public sealed record BpfConntrackTimeouts : ModelObject
{
    [Format(FieldFormat.ConntrackTimeout)]
    public string? CreationGracePeriod { get; init; }

    [Format(FieldFormat.ConntrackTimeout)]
    public string? TcpSynSent { get; init; }

    [Format(FieldFormat.ConntrackTimeout)]
    public string? TcpEstablished { get; init; }

    [Format(FieldFormat.ConntrackTimeout)]
    public string? TcpFinsSeen { get; init; }

    [Format(FieldFormat.ConntrackTimeout)]
    public string? TcpResetSeen { get; init; }

    [Format(FieldFormat.ConntrackTimeout)]
    public string? UdpTimeout { get; init; }

    [Format(FieldFormat.ConntrackTimeout)]
    public string? GenericTimeout { get; init; }

    [Format(FieldFormat.ConntrackTimeout)]
    public string? IcmpTimeout { get; init; }
}
