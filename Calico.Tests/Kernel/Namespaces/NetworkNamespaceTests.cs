using System.Diagnostics;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;

namespace Calico.Tests.Kernel.Namespaces;

[Layer("kernel")]
public sealed class NetworkNamespaceTests : IDisposable
{
    private readonly TestNamespaces _world = new();

    public void Dispose() => _world.Dispose();

    [Fact]
    public void A_named_namespace_is_one_of_its_own_and_can_be_opened_by_name_and_path()
    {
        var created = _world.Create();
        using var current = NetworkNamespace.OpenCurrent();
        using var byName = NetworkNamespace.OpenNamed(Path.GetFileName(created.Path));
        using var byPath = NetworkNamespace.Open(created.Path);

        Assert.NotEqual(current.Identity, created.Identity);
        Assert.Equal(created.Identity, byName.Identity);
        Assert.Equal(created.Identity, byPath.Identity);
        Assert.Contains(Path.GetFileName(created.Path), NamedNamespaces.List());
    }

    [Fact]
    public void A_thread_that_is_lent_does_its_jobs_itself_and_comes_back()
    {
        var other = _world.Create();
        ulong before = 0, after = 0;
        int inside = 0, mine = 0;
        string[] names = [];
        var thread = new Thread(() =>
        {
            NetworkNamespace.LendThread();
            before = IdentityHere();
            mine = Environment.CurrentManagedThreadId;
            using (var links = other.OpenLinks())
                names = [.. links.Dump().Select(l => l.Name)];
            using var visited = NetworkNamespace.Open(other.Path);
            using var sysctl = visited.OpenSysctl();
            Assert.Throws<KernelException>(() => sysctl.Write("ipv4/no_such_thing", "1"));
            inside = NamespaceThread.Visit(other.Fd, () => Environment.CurrentManagedThreadId);
            after = IdentityHere();
        });
        thread.Start();
        thread.Join();

        Assert.Equal(["lo"], names);
        Assert.Equal(mine, inside);
        Assert.Equal(before, after);
        Assert.NotEqual(other.Identity, after);
    }

    private static ulong IdentityHere()
    {
        using var here = NetworkNamespace.OpenCurrent();
        return here.Identity;
    }

    [Fact]
    public void A_name_is_taken_once_and_deleted_once()
    {
        var created = _world.Create();
        var name = Path.GetFileName(created.Path);

        Assert.True(Assert.Throws<KernelException>(() => NetworkNamespace.CreateNamed(name)).AlreadyExists);
        Assert.True(NetworkNamespace.DeleteNamed(name));
        Assert.False(NetworkNamespace.DeleteNamed(name));
        Assert.True(Assert.Throws<KernelException>(() => NetworkNamespace.OpenNamed(name)).IsNotFound);
    }

    [Theory]
    [InlineData("")]
    [InlineData("..")]
    [InlineData("a/b")]
    public void A_name_is_a_file_name(string name) => Assert.Throws<ArgumentException>(() => NetworkNamespace.CreateNamed(name));

    [Fact]
    public void A_file_that_is_no_namespace_is_refused() =>
        Assert.Equal(Errno.EINVAL, Assert.Throws<KernelException>(() => NetworkNamespace.Open("/proc/self/status")).Errno);

    [Fact]
    public void A_namespace_of_another_kind_is_refused() =>
        Assert.Equal(Errno.EINVAL, Assert.Throws<KernelException>(() => NetworkNamespace.Open("/proc/self/ns/mnt")).Errno);

    [Fact]
    public void Code_runs_inside_and_the_caller_stays_where_it_is()
    {
        var created = _world.Create();
        using var before = NetworkNamespace.OpenCurrent();

        var inside = created.Run(() =>
        {
            using var here = NetworkNamespace.OpenCurrent();
            return here.Identity;
        });

        using var after = NetworkNamespace.OpenCurrent();
        Assert.Equal(created.Identity, inside);
        Assert.Equal(before.Identity, after.Identity);
    }

    [Fact]
    public void What_the_code_throws_reaches_the_caller()
    {
        var created = _world.Create();

        Assert.Throws<FormatException>(() => created.Run(() => throw new FormatException()));
    }

    [Fact]
    public async Task A_thread_that_was_inside_never_works_for_the_pool()
    {
        using var own = NetworkNamespace.OpenCurrent();
        for (var i = 0; i < 20; i++)
        {
            var created = _world.Create();
            using var links = created.OpenLinks();
            using var sysctl = created.OpenSysctl();
            sysctl.Read("ipv4/ip_forward");
            created.Run(() => { });
        }

        var seen = await Task.WhenAll(Enumerable.Range(0, 200).Select(_ => Task.Run(() =>
        {
            using var here = NetworkNamespace.OpenCurrent();
            return here.Identity;
        })));

        Assert.All(seen, identity => Assert.Equal(own.Identity, identity));
    }

    [Fact]
    public void A_child_process_starts_inside()
    {
        var created = _world.Create();
        var start = new ProcessStartInfo("/bin/cat") { RedirectStandardInput = true, RedirectStandardOutput = true };

        using var child = ProcessInNamespace.Start(start, created);
        using var its = NetworkNamespace.OpenProcess(child.Id);
        child.StandardInput.Close();
        child.WaitForExit();

        Assert.Equal(created.Identity, its.Identity);
        Assert.Equal(0, child.ExitCode);
    }

    [Fact]
    public void A_program_that_is_not_there_does_not_start()
    {
        var created = _world.Create();

        Assert.Throws<System.ComponentModel.Win32Exception>(() => ProcessInNamespace.Start(new ProcessStartInfo("/nothing/there"), created));
    }

    [Fact]
    public void A_socket_opened_inside_listens_inside()
    {
        var created = _world.Create();
        using (var links = created.OpenLinks())
            links.Change(new LinkChange(links.Find("lo")!.Index) { Up = true });

        using var listener = created.Run(() =>
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            socket.Listen();
            return socket;
        });
        var endPoint = listener.LocalEndPoint!;

        created.Run(() =>
        {
            using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            client.Connect(endPoint);
        });
        Assert.DoesNotContain(IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners(), l => l.Equals(endPoint));
    }

    [Fact]
    public void An_unnamed_namespace_lives_as_long_as_it_is_open()
    {
        using var unnamed = NetworkNamespace.CreateUnnamed();
        using var links = unnamed.OpenLinks();
        var host = _world.Create();
        using var hostLinks = host.OpenLinks();
        hostLinks.CreateVeth(new VethPair("left", "right", unnamed.Fd), up: true);

        Assert.NotNull(links.Find("right"));
        links.Dispose();
        unnamed.Dispose();
        Assert.True(SpinWait.SpinUntil(() => hostLinks.Find("left") is null, TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public void The_tables_and_sysctls_of_a_namespace_outlive_the_object_they_came_from()
    {
        var created = _world.Create();
        using var sysctl = created.OpenSysctl();
        using var other = NetworkNamespace.Open(created.Path);
        using var links = other.OpenLinks();
        created.Dispose();
        other.Dispose();

        Assert.NotNull(links.Find("lo"));
        links.CreateBridge("br0");
        Assert.NotNull(sysctl.Read("ipv4/conf/br0/forwarding"));
    }

    [Fact]
    public void The_sweep_takes_what_dead_test_processes_left_and_nothing_else()
    {
        var alive = _world.Create();
        using var child = Process.Start(new ProcessStartInfo("/bin/true"))!;
        child.WaitForExit();
        var dead = $"calico-test-{child.Id}-1";
        NetworkNamespace.CreateNamed(dead).Dispose();

        TestNamespaces.Sweep();

        Assert.DoesNotContain(dead, NamedNamespaces.List());
        Assert.Contains(Path.GetFileName(alive.Path), NamedNamespaces.List());
    }
}
