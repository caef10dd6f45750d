using System.Reflection;
using System.Runtime.CompilerServices;
using Calico.Actors.Cluster;
using Xunit.Abstractions;

namespace Calico.Tests.Cluster;

[Layer("cluster")]
[Collection("cluster")]
public class ChannelNameTests(ITestOutputHelper output)
{
    /// <summary>What it would find otherwise is a hardware address; what it was told has a zero behind each digit pair.</summary>
    [Fact]
    public async Task The_transport_takes_the_name_that_it_is_given_and_does_not_search_the_interfaces()
    {
        await using var bed = new MeshBed(output);
        await MeshBed.StartAsync(bed.Add(1));

        var names = Assembly.Load("DotNetty.Transport").GetType("DotNetty.Transport.Channels.DefaultChannelId", throwOnError: true)!;
        RuntimeHelpers.RunClassConstructor(names.TypeHandle);
        var used = Assert.IsType<byte[]>(names.GetField("MachineId", BindingFlags.Static | BindingFlags.NonPublic)!.GetValue(null));

        var given = Environment.GetEnvironmentVariable(MeshSystem.MachineId);
        Assert.NotNull(given);
        Assert.Equal(Convert.FromHexString(given), used.Where((_, i) => i % 2 == 0));
    }
}
