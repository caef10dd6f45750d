using System.Globalization;

namespace Calico.Node.Cni;

/// <summary>What <c>install-cni</c> is asked to do, read from the environment that Calico's installer has (facts i.5).</summary>
internal sealed record InstallOptions
{
    /// <summary>Where the plugins go; the first must be writable, others are skipped if they do not exist.</summary>
    public required IReadOnlyList<string> BinFolders { get; init; }

    /// <summary>Where the network configuration goes, as this process sees it.</summary>
    public required string NetFolder { get; init; }

    /// <summary>CNI_CONF_NAME.</summary>
    public string ConfigName { get; init; } = "10-calico.conflist";

    /// <summary>CNI_OLD_CONF_NAME: removed if it is another.</summary>
    public string OldConfigName { get; init; } = "10-calico.conflist";

    /// <summary>SKIP_CNI_BINARIES: programs that are not installed.</summary>
    public IReadOnlySet<string> Skipped { get; init; } = new HashSet<string>();

    /// <summary>UPDATE_CNI_BINARIES=false leaves programs that are there already.</summary>
    public bool ReplacesPrograms { get; init; } = true;

    /// <summary>SLEEP: stay until told to end, so that a container does not start again and again.</summary>
    public bool Stays { get; init; }

    /// <summary>The template, and where it is from, for messages.</summary>
    public required (string Text, string Source) Template { get; init; }

    /// <summary>What stands for each placeholder, such as <c>__CNI_MTU__</c>.</summary>
    public required IReadOnlyDictionary<string, string> Values { get; init; }

    /// <summary>The configuration of a cluster that says nothing of its own.</summary>
    public const string BuiltIn = """
        {
          "name": "k8s-pod-network",
          "cniVersion": "1.0.0",
          "plugins": [
            {
              "type": "calico",
              "log_level": "__LOG_LEVEL__",
              "log_file_path": "__LOG_FILE_PATH__",
              "log_file_max_size": __LOG_FILE_MAX_SIZE__,
              "log_file_max_age": __LOG_FILE_MAX_AGE__,
              "log_file_max_count": __LOG_FILE_MAX_COUNT__,
              "datastore_type": "__DATASTORE_TYPE__",
              "mtu": __CNI_MTU__,
              "require_mtu_file": __REQUIRE_MTU_FILE__,
              "ipam": { "type": "calico-ipam" },
              "policy": { "type": "k8s" }
            },
            {
              "type": "portmap",
              "snat": true,
              "capabilities": { "portMappings": true }
            }
          ]
        }

        """;

    /// <summary>Reads the environment; <paramref name="problem"/> says what is wrong with it.</summary>
    /// <param name="variables">A variable's value, or null; an empty one counts as absent.</param>
    /// <param name="root">Where the machine's files are: <c>/host</c> in a container, <c>/</c> on the machine itself.</param>
    /// <param name="problem">A sentence.</param>
    public static InstallOptions? Read(Func<string, string?> variables, string root, out string? problem)
    {
        string? Text(string name) => variables(name) is { Length: > 0 } value ? value : null;
        problem = null;
        var netDir = Text("CNI_NET_DIR") ?? "/etc/cni/net.d";
        // In a container the folder of the machine is mounted at one place, whatever its name is there.
        var isContainer = Path.TrimEndingDirectorySeparator(root) == "/host";
        var file = Text("CNI_NETWORK_CONFIG_FILE");
        (string, string) template;
        try
        {
            template = file is not null ? (File.ReadAllText(file), file)
                : Text("CNI_NETWORK_CONFIG") is { } given ? (given, "CNI_NETWORK_CONFIG") : (BuiltIn, "the built-in template");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            problem = $"CNI_NETWORK_CONFIG_FILE {file} cannot be read: {e.Message}";
            return null;
        }
        var name = Text("CNI_CONF_NAME") ?? "10-calico.conflist";
        var old = Text("CNI_OLD_CONF_NAME") ?? "10-calico.conflist";
        foreach (var (variable, value) in ((string, string)[])[("CNI_CONF_NAME", name), ("CNI_OLD_CONF_NAME", old)])
        {
            if (value.Contains('/', StringComparison.Ordinal) || value is "." or "..")
                problem = $"{variable} is '{value}' and must be the name of a file in CNI_NET_DIR";
        }
        return problem is not null ? null : new InstallOptions
        {
            BinFolders = isContainer ? ["/host/opt/cni/bin", "/host/secondary-bin-dir"] : [Path.Join(root, "opt/cni/bin")],
            NetFolder = isContainer ? "/host/etc/cni/net.d" : Path.Join(root, netDir),
            ConfigName = name,
            OldConfigName = old,
            Skipped = (Text("SKIP_CNI_BINARIES") ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).ToHashSet(StringComparer.Ordinal),
            ReplacesPrograms = !string.Equals(Text("UPDATE_CNI_BINARIES"), "false", StringComparison.OrdinalIgnoreCase),
            Stays = string.Equals(Text("SLEEP"), "true", StringComparison.OrdinalIgnoreCase),
            Template = template,
            Values = ValuesOf(Text, netDir),
        };
    }

    private static Dictionary<string, string> ValuesOf(Func<string, string?> text, string netDir)
    {
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, unset) in ((string, string)[])[
            ("LOG_LEVEL", "info"), ("LOG_FILE_PATH", "/var/log/calico/cni/cni.log"), ("LOG_FILE_MAX_SIZE", "100"), ("LOG_FILE_MAX_AGE", "30"),
            ("LOG_FILE_MAX_COUNT", "10"), ("DATASTORE_TYPE", "kubernetes"), ("CNI_MTU", "1500"), ("REQUIRE_MTU_FILE", "false"),
            ("CALICO_API_GROUP", ""), ("ETCD_ENDPOINTS", ""), ("ETCD_DISCOVERY_SRV", ""), ("ETCD_CERT_FILE", ""), ("ETCD_CA_CERT_FILE", ""),
            ("ETCD_KEY_FILE", ""), ("KUBERNETES_SERVICE_HOST", ""), ("KUBERNETES_SERVICE_PORT", ""), ("SERVICEACCOUNT_TOKEN", "")])
            values[name] = text(name) ?? unset;
        values["KUBERNETES_NODE_NAME"] = text("KUBERNETES_NODE_NAME") ?? text("NODENAME") ?? Environment.MachineName.ToLower(CultureInfo.InvariantCulture);
        values["KUBECONFIG_FILEPATH"] = text("KUBECONFIG_FILEPATH") ?? $"{netDir}/calico-kubeconfig";
        return values;
    }
}
