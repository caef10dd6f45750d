using Calico.Ctl;
using Calico.Datastore;
using Calico.Tests.Datastore;
using Microsoft.Extensions.Time.Testing;

namespace Calico.Tests.Ctl;

/// <summary>What a command wrote and how it ended.</summary>
public sealed record CommandResult(int ExitCode, string Out, string Error)
{
    public string Output => Out + Error;
}

/// <summary>Runs calicoctl in process against one in-memory datastore.</summary>
public sealed class CalicoctlRunner : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("calicoctl-test-").FullName;

    public InMemoryDatastore Datastore { get; } = new();
    public FakeTimeProvider Time { get; } = new(new DateTimeOffset(2026, 8, 22, 10, 0, 0, TimeSpan.Zero));
    public DatastoreOptions? Opened { get; private set; }
    public Dictionary<string, string> Environment { get; } = new() { ["ETCD_ENDPOINTS"] = "http://127.0.0.1:2379" };

    /// <summary>Opens what the environment says in place of <see cref="Datastore"/>.</summary>
    public bool OpensItself { get; init; }

    /// <summary>As if a person looked at the output.</summary>
    public bool IsTerminal { get; set; }

    public string WriteFile(string name, string content)
    {
        var path = Path.Combine(_folder, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, content);
        return path;
    }

    public async Task<CommandResult> RunAsync(IEnumerable<string> args, string input = "")
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        using var reader = new StringReader(input);
        var context = new CtlContext
        {
            Out = output,
            Error = error,
            In = reader,
            Environment = name => Environment.GetValueOrDefault(name),
            OpenDatastore = options =>
            {
                Opened = options;
                return OpensItself ? DatastoreFactory.Open(options) : Datastore;
            },
            Time = Time,
            IsTerminal = IsTerminal,
        };
        var code = await CommandLine.RunAsync([.. args], context);
        return new CommandResult(code, output.ToString(), error.ToString());
    }

    /// <summary>Runs a command that is split at blanks, with a manifest on standard input.</summary>
    public Task<CommandResult> RunAsync(string command, string input = "") => RunAsync(command.Split(' '), input);

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
