using System.CommandLine;

namespace Calico.Node.Cni;

/// <summary><c>calico-node install-cni</c>: the init container that puts the plugin on its machine.</summary>
internal static class InstallCommand
{
    private const string Description = """
        Install the CNI plugin on this machine: the programs calico and calico-ipam, then the network configuration.

        In a container with the machine's folders below /host it writes to /host/opt/cni/bin, to /host/secondary-bin-dir if
        that is mounted, and to /host/etc/cni/net.d. Without /host it writes to /opt/cni/bin and CNI_NET_DIR.

        Variables:
          CNI_NETWORK_CONFIG, CNI_NETWORK_CONFIG_FILE   the configuration, or the file it is in; built in if neither is set
          CNI_CONF_NAME            its file name (10-calico.conflist)
          CNI_OLD_CONF_NAME        a former file name, which is removed (10-calico.conflist)
          CNI_NET_DIR              its folder on the machine (/etc/cni/net.d)
          SKIP_CNI_BINARIES        programs that are not installed, separated by commas
          UPDATE_CNI_BINARIES      false leaves programs that are there
          SLEEP                    true stays until it is stopped
        Placeholders such as __CNI_MTU__ stand for the variables CNI_MTU, LOG_LEVEL, LOG_FILE_PATH, LOG_FILE_MAX_SIZE,
        LOG_FILE_MAX_AGE, LOG_FILE_MAX_COUNT, DATASTORE_TYPE, REQUIRE_MTU_FILE, KUBERNETES_NODE_NAME, KUBECONFIG_FILEPATH,
        KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT, SERVICEACCOUNT_TOKEN, CALICO_API_GROUP and ETCD_*.

        No kubeconfig and no certificates are written: the plugin has no credentials, it asks the node over a socket.

        Exit status: 0 done, 1 a file cannot be written, 2 the configuration is wrong and nothing was touched;
        with --uninstall 1 also if a file had been changed and was left.
        """;

    public static Command Create()
    {
        var uninstall = new Option<bool>("--uninstall") { Description = "Remove what was installed, as far as nobody has changed it since." };
        var root = new Option<string?>("--root") { Description = "Where the machine's files are. Default: /host if it exists, else /." };
        var program = new Option<string?>("--program") { Description = "The plugin's program. Default: calico-cni beside this program." };
        var plugins = new Option<string?>("--plugins") { Description = "A folder of further plugins to install. Default: cni-plugins beside this program, if it exists." };
        var command = new Command("install-cni", Description) { uninstall, root, program, plugins };
        command.SetAction((parsed, cancellation) => RunAsync(parsed.GetValue(uninstall), parsed.GetValue(root), parsed.GetValue(program),
            parsed.GetValue(plugins), Environment.GetEnvironmentVariable, Console.Out, Console.Error, cancellation));
        return command;
    }

    public static async Task<int> RunAsync(bool uninstall, string? root, string? program, string? plugins, Func<string, string?> variables,
        TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        var beside = AppContext.BaseDirectory;
        if (InstallOptions.Read(variables, root ?? (Directory.Exists("/host") ? "/host" : "/"), out var problem) is not { } options)
        {
            await errors.WriteLineAsync($"install-cni: {problem}");
            return 2;
        }
        var installer = new CniInstaller(options, output);
        try
        {
            if (uninstall)
                return installer.Uninstall() ? 0 : 1;
            installer.Install(Programs(program ?? Path.Combine(beside, "calico-cni"), plugins ?? Path.Combine(beside, "cni-plugins")));
            if (options.Stays)
                await Task.Delay(Timeout.Infinite, cancellation);
            return 0;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            return 0;
        }
        catch (InstallRefusedException e)
        {
            await errors.WriteLineAsync($"install-cni: {e.Message}");
            return 2;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            await errors.WriteLineAsync($"install-cni: {e.Message}");
            return 1;
        }
    }

    private static SortedDictionary<string, string> Programs(string program, string folder)
    {
        var programs = new SortedDictionary<string, string>(StringComparer.Ordinal) { ["calico"] = program, ["calico-ipam"] = program };
        if (Directory.Exists(folder))
        {
            foreach (var file in Directory.EnumerateFiles(folder))
                programs.TryAdd(Path.GetFileName(file), file);
        }
        return programs;
    }
}
