using Calico.Datastore;
using Calico.Datastore.Resources;
using Microsoft.Win32.SafeHandles;

namespace Calico.Ctl;

/// <summary>An error for the person at the terminal; the message is all that is shown.</summary>
internal sealed class CtlException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Everything outside the program that a command touches, so that tests run commands in process.</summary>
internal sealed record CtlContext
{
    public const string DefaultConfigPath = "/etc/calico/calicoctl.cfg";

    /// <summary>Results go here and nothing else.</summary>
    public required TextWriter Out { get; init; }

    /// <summary>Errors and notes go here.</summary>
    public required TextWriter Error { get; init; }

    public required TextReader In { get; init; }

    /// <summary>Standard input and output for what is no text; instead of <see cref="In"/> and <see cref="Out"/>.</summary>
    public Func<Stream> OpenIn { get; init; } = Console.OpenStandardInput;
    public Func<Stream> OpenOut { get; init; } = Console.OpenStandardOutput;

    public required Func<string, string?> Environment { get; init; }
    public required Func<DatastoreOptions, IDatastore> OpenDatastore { get; init; }
    public required TimeProvider Time { get; init; }

    public static CtlContext ForProcess(Func<DatastoreOptions, IDatastore> open) => new()
    {
        Out = Console.IsOutputRedirected ? Console.Out : Terminal(1),
        Error = Console.IsErrorRedirected ? Console.Error : Terminal(2),
        In = new StreamReader(Console.OpenStandardInput()),
        Environment = System.Environment.GetEnvironmentVariable,
        OpenDatastore = open,
        Time = TimeProvider.System,
        IsTerminal = !Console.IsOutputRedirected,
        ShowsProgress = !Console.IsErrorRedirected,
        // https://no-color.org
        UsesColour = !Console.IsOutputRedirected && string.IsNullOrEmpty(System.Environment.GetEnvironmentVariable("NO_COLOR")),
    };

    // Not the console's own writer: before the first word it puts the terminal's keypad into another mode.
    private static StreamWriter Terminal(int descriptor) =>
        new(new FileStream(new SafeFileHandle(descriptor, ownsHandle: false), FileAccess.Write, bufferSize: 0)) { AutoFlush = true };

    /// <summary>Results are read by a person, not by a program.</summary>
    public bool IsTerminal { get; init; }

    /// <summary>Results are read by a person who can see colours.</summary>
    public bool UsesColour { get; init; }

    /// <summary>Errors are read by a person who waits.</summary>
    public bool ShowsProgress { get; init; }

    /// <summary>Work with a cluster of another version.</summary>
    public bool AllowVersionMismatch { get; init; }

    /// <summary>Opens the datastore that the file, or without one the environment, names.</summary>
    /// <param name="configPath">The file; only the default one may be missing.</param>
    /// <param name="use">Works with the store, which is closed afterwards.</param>
    /// <param name="ofAnyVersion">Whatever the version of the cluster is.</param>
    public async Task<int> WithStoreAsync(string configPath, Func<IDatastore, ResourceStore, Task<int>> use, bool ofAnyVersion = false)
    {
        await using var datastore = OpenDatastore(Load(configPath));
        var store = new ResourceStore(datastore, Time);
        if (!AllowVersionMismatch && !ofAnyVersion)
            await ProgramVersion.CheckClusterAsync(store);
        return await use(datastore, store);
    }

    /// <summary>The connection that the file, or without one the environment, names.</summary>
    public DatastoreOptions Load(string configPath) => DatastoreOptions.Load(ReadConfig(configPath), configPath, Environment);

    private static string? ReadConfig(string path)
    {
        if (File.Exists(path))
            return ResourceFiles.ReadFile(path);
        return path == DefaultConfigPath
            ? null
            : throw new CtlException($"configuration file {path} does not exist: name another with --config, or leave it out to use the environment");
    }
}
