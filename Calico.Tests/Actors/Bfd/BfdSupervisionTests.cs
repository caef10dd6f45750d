using Akka.Actor;
using Calico.Actors;
using Calico.Actors.Gateway;
using Calico.Actors.Routing;
using Calico.Kernel.Nft;
using Calico.Tests.Datastore;
using Calico.Tests.Kernel;

namespace Calico.Tests.Actors.Bfd;

/// <summary>A process whose BFD has stopped for good ends: its sessions would go on as if somebody watched their paths.</summary>
[Layer("actor")]
public sealed class BfdSupervisionTests
{
    private const string Silent = "loggers = [], stdout-loglevel = OFF";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_speaker_alone_ends_with_it()
    {
        using var kernel = new FakeNamespaces();
        var refs = SpeakerSystem.Start(new SpeakerOptions(null, kernel.Create(), TimeProvider.System, Silent));
        Assert.NotNull((await refs.Bfd.Ask<ActorIdentity>(new Identify(1), Patience)).Subject);

        refs.System.Stop(refs.Bfd);

        await refs.System.WhenTerminated.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_node_ends_with_it()
    {
        using var kernel = new FakeNamespaces();
        var folder = Directory.CreateTempSubdirectory("calico-bfd-").FullName;
        var refs = NodeSystem.Start(new NodeOptions("node-1", folder) { Loggers = Silent }, new NodePorts(new InMemoryDatastore(), new MeshLink(), kernel.Create(),
            table => new FakeNftTable(table), TimeProvider.System, _ => Task.CompletedTask));
        Assert.NotNull((await refs.Bfd.Ask<ActorIdentity>(new Identify(1), Patience)).Subject);

        refs.System.Stop(refs.Bfd);

        await refs.System.WhenTerminated.WaitAsync(Patience);
        Directory.Delete(folder, recursive: true);
    }
}
