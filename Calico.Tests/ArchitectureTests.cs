using System.Reflection;

namespace Calico.Tests;

[Layer("unit")]
public class ArchitectureTests
{
    // The dependency arrows: what each assembly may reference of ours.
    private static readonly Dictionary<string, string[]> Allowed = new()
    {
        ["Calico.Core"] = [],
        ["calico-cni"] = ["Calico.Core"],
        ["Calico.Kernel"] = ["Calico.Core"],
        ["Calico.Datastore"] = ["Calico.Core"],
        ["Calico.Actors"] = ["Calico.Core", "Calico.Kernel", "Calico.Datastore"],
        ["calicoctl"] = ["Calico.Core", "Calico.Datastore"],
        ["calico-node"] = ["Calico.Core", "Calico.Kernel", "Calico.Datastore", "Calico.Actors"],
    };

    public static TheoryData<string> Assemblies => new(Allowed.Keys);

    [Theory]
    [MemberData(nameof(Assemblies))]
    public void Arrows_point_to_core_and_nowhere_else(string name)
    {
        var ours = Assembly.Load(name).GetReferencedAssemblies()
            .Select(a => a.Name!).Where(Allowed.ContainsKey);

        Assert.Empty(ours.Except(Allowed[name]));
    }

    [Theory]
    [InlineData("Calico.Core")]
    [InlineData("Calico.Kernel")]
    [InlineData("Calico.Datastore")]
    [InlineData("calico-cni")]
    [InlineData("calicoctl")]
    public void Only_actors_and_the_node_know_akka(string name) =>
        Assert.DoesNotContain(Assembly.Load(name).GetReferencedAssemblies(), a => a.Name!.StartsWith("Akka", StringComparison.Ordinal));

    [Fact]
    public void Core_knows_no_sockets_and_no_files()
    {
        string[] forbidden = ["System.Net.Sockets", "System.IO.FileSystem", "System.Net.Http", "System.Diagnostics.Process"];

        var references = Assembly.Load("Calico.Core").GetReferencedAssemblies().Select(a => a.Name);

        Assert.Empty(references.Intersect(forbidden));
    }
}
